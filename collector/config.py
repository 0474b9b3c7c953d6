"""A strict type for the collector components that we use.

ADOT's binary has no ``validate`` command, and an unknown key stops the sidecar at its start. These models refuse
at synth what the collector would refuse at start: an unknown component, key, action or reference.
Sources: the component list of ADOT v0.49.0 and the component documentation of OpenTelemetry Collector 0.156.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Duration = Annotated[str, Field(pattern=r"^\d+(ms|s|m)$")]
"""A Go duration in one unit, such as ``200ms``."""

HeaderValue = Annotated[str, BeforeValidator(str)]
"""A variable's number is text here, as in the collector."""

T = TypeVar("T")

VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Component(BaseModel):
    """A component's settings: a key that the collector does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HealthCheck(Component):
    endpoint: str


class SigV4Auth(Component):
    region: str
    service: Literal["aps", "xray", "monitoring", "logs", "sagemaker", "sagemaker-mlflow"]


class Endpoint(Component):
    endpoint: str


class OtlpProtocols(Component):
    http: Endpoint | None = None
    grpc: Endpoint | None = None


class OtlpReceiver(Component):
    protocols: OtlpProtocols


class MemoryLimiter(Component):
    check_interval: Duration
    limit_mib: int = Field(gt=0)
    spike_limit_mib: int = Field(ge=0)

    @model_validator(mode="after")
    def _spike_below_limit(self) -> MemoryLimiter:
        if self.spike_limit_mib >= self.limit_mib:
            raise ValueError("spike_limit_mib must be smaller than limit_mib")
        if re.fullmatch(r"0+(ms|s|m)", self.check_interval):
            raise ValueError("check_interval must be greater than zero")
        return self


class ResourceDetection(Component):
    detectors: list[Literal["env", "ecs", "ec2", "system"]]
    timeout: Duration = "5s"
    override: bool = True


class AttributeAction(Component):
    key: str | None = None
    pattern: str | None = None
    action: Literal["delete", "hash", "insert", "update", "upsert"]
    value: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _key_or_pattern(self) -> AttributeAction:
        if (self.key is None) == (self.pattern is None):
            raise ValueError("an action names either a key or a pattern")
        if self.pattern is not None:
            if self.action not in ("delete", "hash"):
                raise ValueError(f"the action {self.action} takes a key, not a pattern")
            re.compile(self.pattern)
        if self.action in ("insert", "update", "upsert") and self.value is None:
            raise ValueError(f"the action {self.action} needs a value")
        return self


class Attributes(Component):
    actions: list[AttributeAction] = Field(min_length=1)


class ResourceAttributes(Component):
    attributes: list[AttributeAction] = Field(min_length=1)


OTTL_CONDITION = re.compile(
    r'^(?:IsMatch\((?P<path>name|attributes\["[^"]+"\]), "(?P<pattern>[^"]+)"\)'
    r'|(?P<left>name|attributes\["[^"]+"\]) == "(?P<value>[^"]*)")$'
)
"""The OpenTelemetry Transformation Language conditions that we use; others are refused."""


def _known_condition(condition: str) -> str:
    if not OTTL_CONDITION.match(condition):
        raise ValueError(
            f'not a condition that we use: {condition!r}; write IsMatch(name, "...") or name == "..."'
        )
    return condition


class FilterTraces(Component):
    span: list[str] = []
    spanevent: list[str] = []

    @model_validator(mode="after")
    def _conditions(self) -> FilterTraces:
        for condition in [*self.span, *self.spanevent]:
            _known_condition(condition)
        return self


class Filter(Component):
    error_mode: Literal["ignore", "silent", "propagate"] = "propagate"
    traces: FilterTraces


class StatusCodePolicy(Component):
    status_codes: list[Literal["ERROR", "OK", "UNSET"]] = Field(min_length=1)


class StringAttributePolicy(Component):
    key: str
    values: list[str] = Field(min_length=1)


class LatencyPolicy(Component):
    threshold_ms: int = Field(gt=0)


class ProbabilisticPolicy(Component):
    sampling_percentage: float = Field(ge=0, le=100)


class SamplingPolicy(Component):
    """One tail sampling policy: its settings stand under the key that its type names."""

    name: str
    type: Literal["status_code", "string_attribute", "latency", "probabilistic", "always_sample"]
    status_code: StatusCodePolicy | None = None
    string_attribute: StringAttributePolicy | None = None
    latency: LatencyPolicy | None = None
    probabilistic: ProbabilisticPolicy | None = None

    @model_validator(mode="after")
    def _settings_of_its_type(self) -> SamplingPolicy:
        given = {
            key
            for key in ("status_code", "string_attribute", "latency", "probabilistic")
            if getattr(self, key)
        }
        expected = set() if self.type == "always_sample" else {self.type}
        if given != expected:
            raise ValueError(
                f"policy {self.name!r} of type {self.type} takes the settings {sorted(expected)}"
            )
        return self


class TailSampling(Component):
    decision_wait: Duration = "30s"
    num_traces: int = Field(default=50000, gt=0)
    expected_new_traces_per_sec: int = Field(default=0, ge=0)
    policies: list[SamplingPolicy] = Field(min_length=1)


class Batch(Component):
    timeout: Duration = "200ms"
    send_batch_size: int = Field(default=8192, gt=0)
    send_batch_max_size: int = Field(default=0, ge=0)


class AwsXray(Component):
    region: str
    endpoint: str | None = None
    index_all_attributes: bool = False
    indexed_attributes: list[str] = []
    aws_log_groups: list[str] = []


class Authenticator(Component):
    authenticator: str


class Enabled(Component):
    enabled: bool


class Retry(Component):
    enabled: bool = True
    max_elapsed_time: Duration = "300s"


class SendingQueue(Component):
    enabled: bool = True
    queue_size: int = Field(default=1000, gt=0)


class PrometheusRemoteWrite(Component):
    endpoint: str
    auth: Authenticator | None = None
    remote_write_queue: SendingQueue = SendingQueue()
    resource_to_telemetry_conversion: Enabled | None = None
    retry_on_failure: Retry | None = None


class OtlpHttp(Component):
    traces_endpoint: str
    auth: Authenticator | None = None
    headers: dict[str, HeaderValue] = {}
    compression: Literal["gzip", "none"] = "gzip"
    retry_on_failure: Retry | None = None
    sending_queue: SendingQueue = SendingQueue()


class Debug(Component):
    verbosity: Literal["basic", "normal", "detailed"] = "basic"


class Logs(Component):
    level: Literal["debug", "info", "warn", "error"] = "info"


class InternalMetrics(Component):
    level: Literal["none", "basic", "normal", "detailed"] = "normal"


class InternalTelemetry(Component):
    logs: Logs = Logs()
    metrics: InternalMetrics = InternalMetrics()


class Pipeline(Component):
    receivers: list[str] = Field(min_length=1)
    processors: list[str] = []
    exporters: list[str] = Field(min_length=1)


class Service(Component):
    telemetry: InternalTelemetry = InternalTelemetry()
    extensions: list[str] = []
    pipelines: dict[str, Pipeline] = Field(min_length=1)


KINDS: Mapping[str, Mapping[str, type[Component]]] = {
    "extensions": {"health_check": HealthCheck, "sigv4auth": SigV4Auth},
    "receivers": {"otlp": OtlpReceiver},
    "processors": {
        "memory_limiter": MemoryLimiter,
        "resourcedetection": ResourceDetection,
        "attributes": Attributes,
        "resource": ResourceAttributes,
        "filter": Filter,
        "tail_sampling": TailSampling,
        "batch": Batch,
    },
    "exporters": {
        "awsxray": AwsXray,
        "prometheusremotewrite": PrometheusRemoteWrite,
        "otlphttp": OtlpHttp,
        "debug": Debug,
    },
}
CONTENT_RECEIVER = "otlp/content"
"""Spans with prompts and answers come in here and nowhere else."""
CONTENT_AUTHENTICATOR = "sigv4auth/mlflow"
NOT_IN_ADOT = {"transform", "redaction", "groupbyattrs", "spanmetrics", "count", "logging"}


class CollectorConfig(Component):
    """A whole configuration, every component typed and every reference resolved."""

    extensions: dict[str, HealthCheck | SigV4Auth] = {}
    receivers: dict[str, OtlpReceiver]
    processors: dict[str, Any] = {}
    exporters: dict[str, Any]
    service: Service


def load(text: str, environment: Mapping[str, str] | None = None) -> CollectorConfig:
    """Parse and check a configuration.

    ``${env:NAME}`` and ``${env:NAME:-default}`` are replaced from ``environment``; without one they stay as they
    are, which is how the synthesizer checks a template.

    Raises ``ValueError`` that names the key's path and the remedy.
    """
    document = yaml.safe_load(text if environment is None else _substitute(text, environment))
    if not isinstance(document, dict):
        raise ValueError("the collector configuration is not a YAML mapping")
    typed: dict[str, Any] = dict(document)
    for section, kinds in KINDS.items():
        typed[section] = {
            name: _component(f"{section}.{name}", name, settings, kinds)
            for name, settings in (document.get(section) or {}).items()
        }
    config = _checked("service", lambda: CollectorConfig(**typed))
    _check_references(config)
    return config


def variables(text: str) -> set[str]:
    """The names of the environment variables that a configuration needs, those with a default aside."""
    return {name for name, default in VARIABLE.findall(text) if not default}


def kind(name: str) -> str:
    """``batch`` of ``batch/traces``."""
    return name.split("/", 1)[0]


def _substitute(text: str, environment: Mapping[str, str]) -> str:
    missing = sorted(variables(text) - environment.keys())
    if missing:
        raise ValueError(f"the collector configuration needs the environment variables {', '.join(missing)}")
    return VARIABLE.sub(lambda match: environment.get(match[1], match[2] or ""), text)


def _component(path: str, name: str, settings: Any, kinds: Mapping[str, type[Component]]) -> Component:
    if kind(name) in NOT_IN_ADOT:
        raise ValueError(
            f"{path}: {kind(name)} is not in the ADOT collector; use one of {', '.join(sorted(kinds))}"
        )
    if kind(name) not in kinds:
        raise ValueError(f"{path}: unknown type {kind(name)!r}; known here: {', '.join(sorted(kinds))}")
    return _checked(path, lambda: kinds[kind(name)].model_validate(settings or {}))


def _checked(path: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except ValidationError as error:
        # A misspelt key also leaves its right spelling missing: name the misspelling.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        where = ".".join([path, *(str(part) for part in first["loc"])])
        raise ValueError(f"{where}: {first['msg']} (given: {first.get('input')!r})") from error


def _check_references(config: CollectorConfig) -> None:
    for extension in config.service.extensions:
        _require("service.extensions", extension, config.extensions)
    for name, exporter in config.exporters.items():
        auth = getattr(exporter, "auth", None)
        if auth and auth.authenticator not in config.service.extensions:
            raise ValueError(
                f"exporters.{name}.auth.authenticator: {auth.authenticator} is not among service.extensions; add it there"
            )
    for name, pipeline in config.service.pipelines.items():
        path = f"service.pipelines.{name}"
        if kind(name) not in ("traces", "metrics", "logs"):
            raise ValueError(f"{path}: a pipeline is named traces, metrics or logs")
        for section in ("receivers", "processors", "exporters"):
            for reference in getattr(pipeline, section):
                _require(f"{path}.{section}", reference, getattr(config, section))
        if CONTENT_RECEIVER in pipeline.receivers:
            _check_content_stays(path, pipeline, config.exporters)
        if (
            "memory_limiter" in map(kind, pipeline.processors)
            and kind(pipeline.processors[0]) != "memory_limiter"
        ):
            raise ValueError(f"{path}.processors: memory_limiter comes first, or it limits too late")
        if "batch" in map(kind, pipeline.processors) and kind(pipeline.processors[-1]) != "batch":
            raise ValueError(f"{path}.processors: batch comes last, or what follows it undoes the batches")


def _check_content_stays(path: str, pipeline: Pipeline, exporters: Mapping[str, Any]) -> None:
    for name in pipeline.exporters:
        auth = getattr(exporters[name], "auth", None)
        if not auth or auth.authenticator != CONTENT_AUTHENTICATOR:
            raise ValueError(
                f"{path}.exporters: {name} would get prompts and answers; what comes in by {CONTENT_RECEIVER} goes to MLflow only"
            )
    if pipeline.receivers != [CONTENT_RECEIVER]:
        raise ValueError(f"{path}.receivers: {CONTENT_RECEIVER} has a pipeline of its own")


def _require(path: str, reference: str, known: Mapping[str, Any]) -> None:
    if reference not in known:
        raise ValueError(
            f"{path}: references {reference!r} which is not configured; configured: {', '.join(known)}"
        )
