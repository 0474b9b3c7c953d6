"""The processors that we use, with settings as ADOT's components read them; see sampling.py for the sampler."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from observability.collector.component import Component, Duration, Settings, Size, seconds
from observability.collector.ottl import check_condition
from observability.collector.patterns import compile_pattern

DETECTORS = Literal[
    "env", "system", "docker", "ec2", "ecs", "eks", "elastic_beanstalk", "lambda", "gcp", "gce", "gke",
    "azure", "aks", "consul", "heroku", "openshift", "k8snode", "k8s_api", "kubeadm", "dynatrace",
    "hetzner", "akamai", "scaleway", "upcloud", "vultr", "digitalocean", "oraclecloud", "nova",
    "alibaba_ecs", "tencent_cvm", "ibmcloud_vpc", "ibmcloud_classic", "azurecontainerapps",
]  # fmt: skip


class MemoryLimiter(Component):
    check_interval: Duration = "0s"
    limit_mib: Size = 0
    spike_limit_mib: Size = 0
    limit_percentage: Size = 0
    spike_limit_percentage: Size = 0
    min_gc_interval_when_soft_limited: Duration = "10s"
    min_gc_interval_when_hard_limited: Duration = "0s"

    @model_validator(mode="after")
    def _limits(self) -> MemoryLimiter:
        if seconds(self.check_interval) <= 0:
            raise ValueError("check_interval must be greater than zero")
        if not self.limit_mib and not self.limit_percentage:
            raise ValueError("limit_mib or limit_percentage must be greater than zero")
        if self.limit_percentage > 100 or self.spike_limit_percentage > 100:
            raise ValueError("limit_percentage and spike_limit_percentage are at most 100")
        for unit in ("mib", "percentage"):
            limit, spike = getattr(self, f"limit_{unit}"), getattr(self, f"spike_limit_{unit}")
            if limit and spike >= limit:
                raise ValueError(f"spike_limit_{unit} must be smaller than limit_{unit}")
        if seconds(self.min_gc_interval_when_soft_limited) < seconds(self.min_gc_interval_when_hard_limited):
            raise ValueError("min_gc_interval_when_soft_limited must not be smaller than the hard limit's")
        return self

    @property
    def soft_limit_mib(self) -> int:
        """Memory in MiB above which data is refused: a fifth below the limit, unless the spike
        limit says otherwise."""
        return self.limit_mib - (self.spike_limit_mib or self.limit_mib // 5)


class ResourceDetection(Component):
    detectors: list[DETECTORS] = ["env"]
    timeout: Duration = "5s"
    override: bool = True
    refresh_interval: Duration = "0s"
    fail_on_missing_metadata: bool = False
    ec2: Settings | None = None
    ecs: Settings | None = None
    eks: Settings | None = None
    elasticbeanstalk: Settings | None = None
    lambda_: Settings | None = Field(default=None, alias="lambda")
    env: Settings | None = None
    system: Settings | None = None
    docker: Settings | None = None


class AttributeAction(Component):
    key: str = ""
    pattern: str = ""
    action: Annotated[
        Literal["delete", "hash", "insert", "update", "upsert", "extract", "convert"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ]
    value: Any = None
    from_attribute: str = ""
    from_context: str = ""
    converted_type: Literal["", "int", "double", "string"] = ""

    @model_validator(mode="after")
    def _as_its_action_needs(self) -> AttributeAction:
        sources = [each for each in (self.from_attribute, self.from_context) if each]
        number = len(sources) + (self.value is not None)
        if self.action in ("delete", "hash"):
            if not self.key and not self.pattern:
                raise ValueError(f"the action {self.action} needs a key or a pattern")
            self._refuse(value=self.value is not None, from_attribute=bool(self.from_attribute))
        elif not self.key:
            raise ValueError(f"the action {self.action} needs a key")
        if self.action in ("insert", "update", "upsert"):
            self._refuse(pattern=bool(self.pattern))
            if number != 1:
                raise ValueError(
                    f"the action {self.action} needs one of value, from_attribute and from_context"
                )
        if self.action in ("extract", "convert"):
            self._refuse(value=number > 0)
        if self.action == "convert":
            self._refuse(pattern=bool(self.pattern))
            if not self.converted_type:
                raise ValueError("the action convert needs a converted_type")
        else:
            self._refuse(converted_type=bool(self.converted_type))
        if self.pattern:
            compile_pattern(self.pattern)
        if self.action == "extract":
            self._check_groups()
        return self

    def _refuse(self, **given: bool) -> None:
        if unused := [name for name, is_given in given.items() if is_given]:
            raise ValueError(f"the action {self.action} does not take {unused[0]}")

    def _check_groups(self) -> None:
        named, every = (
            self.pattern.count("(?P<") + self.pattern.count("(?<"),
            self.pattern.replace(r"\(", "").count("("),
        )
        if not named or named + self.pattern.count("(?:") < every:
            raise ValueError("the action extract needs a pattern whose groups all have names")


class Attributes(Component):
    actions: list[AttributeAction] = Field(min_length=1)
    include: Settings | None = None
    exclude: Settings | None = None


class ResourceAttributes(Component):
    attributes: list[AttributeAction] = Field(min_length=1)


class _Conditions(Component):
    @model_validator(mode="after")
    def _known(self) -> _Conditions:
        for about in type(self).model_fields:
            conditions = getattr(self, about)
            for condition in conditions if isinstance(conditions, list) else []:
                check_condition(condition, about)
        return self


class FilterTraces(_Conditions):
    resource: list[str] = []
    span: list[str] = []
    spanevent: list[str] = []


class FilterMetrics(_Conditions):
    resource: list[str] = []
    metric: list[str] = []
    datapoint: list[str] = []
    include: Settings | None = None
    exclude: Settings | None = None


class FilterLogs(_Conditions):
    resource: list[str] = []
    log_record: list[str] = []
    include: Settings | None = None
    exclude: Settings | None = None


class Filter(Component):
    error_mode: Literal["ignore", "silent", "propagate"] = "propagate"
    traces: FilterTraces = FilterTraces()
    metrics: FilterMetrics = FilterMetrics()
    logs: FilterLogs = FilterLogs()
    spans: Settings | None = None
    trace_conditions: list[Any] = []
    metric_conditions: list[Any] = []
    log_conditions: list[Any] = []


class Batch(Component):
    timeout: Duration = "200ms"
    send_batch_size: Size = 8192
    send_batch_max_size: Size = 0
    metadata_keys: list[str] = []
    metadata_cardinality_limit: Size = 1000

    @model_validator(mode="after")
    def _sizes(self) -> Batch:
        if 0 < self.send_batch_max_size < self.send_batch_size:
            raise ValueError(
                "send_batch_max_size must be greater or equal to send_batch_size; or 0 for no maximum"
            )
        if seconds(self.timeout) < 0:
            raise ValueError("timeout must be greater or equal to 0")
        keys = [key.lower() for key in self.metadata_keys]
        if len(set(keys)) < len(keys):
            raise ValueError("metadata_keys has an entry twice")
        return self
