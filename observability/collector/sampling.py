"""The tail sampling processor: its policies and their validation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from observability.collector.component import Component, Duration, Settings
from observability.collector.ottl import check_condition
from observability.collector.patterns import compile_pattern

PolicyType = Literal[
    "always_sample", "latency", "numeric_attribute", "probabilistic", "status_code", "string_attribute",
    "rate_limiting", "bytes_limiting", "span_count", "trace_state", "boolean_attribute", "ottl_condition",
    "trace_flags", "and", "not", "drop", "composite",
]  # fmt: skip


class StatusCodePolicy(Component):
    status_codes: list[Literal["ERROR", "OK", "UNSET"]] = []


class StringAttributePolicy(Component):
    key: str = ""
    values: list[str] = []
    enabled_regex_matching: bool = False
    cache_max_size: int = 0
    invert_match: bool = False

    @model_validator(mode="after")
    def _patterns(self) -> StringAttributePolicy:
        for pattern in self.values if self.enabled_regex_matching else []:
            compile_pattern(pattern)
        return self


class LatencyPolicy(Component):
    threshold_ms: int = 0
    upper_threshold_ms: int = 0


class NumericAttributePolicy(Component):
    key: str = ""
    min_value: int = 0
    max_value: int = 0
    invert_match: bool = False


class BooleanAttributePolicy(Component):
    key: str = ""
    value: bool = False
    invert_match: bool = False


class ProbabilisticPolicy(Component):
    hash_salt: str = ""
    sampling_percentage: float = 0


class RatePolicy(Component):
    spans_per_second: int = 0


class BytesPolicy(Component):
    bytes_per_second: int = 0
    burst_capacity: int = 0


class SpanCountPolicy(Component):
    min_spans: int = 0
    max_spans: int = 0


class TraceStatePolicy(Component):
    key: str = ""
    values: list[str] = []


class ConditionPolicy(Component):
    error_mode: Literal["ignore", "silent", "propagate"] = "propagate"
    span: list[str] = []
    spanevent: list[str] = []

    @model_validator(mode="after")
    def _conditions(self) -> ConditionPolicy:
        for condition in self.span:
            check_condition(condition, "span")
        for condition in self.spanevent:
            check_condition(condition, "spanevent")
        return self


class SubPolicies(Component):
    and_sub_policy: list[SamplingPolicy] = []


class NotPolicy(Component):
    not_sub_policy: SamplingPolicy | None = None


class DropPolicies(Component):
    drop_sub_policy: list[SamplingPolicy] = []


class CompositePolicy(Component):
    max_total_spans_per_second: int = 0
    policy_order: list[str] = []
    composite_sub_policy: list[SamplingPolicy] = []
    rate_allocation: list[Settings] = []


class SamplingPolicy(Component):
    """One tail sampling policy, whose settings are under the key that its type names."""

    name: str = ""
    type: PolicyType
    status_code: StatusCodePolicy | None = None
    string_attribute: StringAttributePolicy | None = None
    latency: LatencyPolicy | None = None
    numeric_attribute: NumericAttributePolicy | None = None
    boolean_attribute: BooleanAttributePolicy | None = None
    probabilistic: ProbabilisticPolicy | None = None
    rate_limiting: RatePolicy | None = None
    bytes_limiting: BytesPolicy | None = None
    span_count: SpanCountPolicy | None = None
    trace_state: TraceStatePolicy | None = None
    ottl_condition: ConditionPolicy | None = None
    trace_flags: Settings | None = None
    and_: SubPolicies | None = Field(default=None, alias="and")
    not_: NotPolicy | None = Field(default=None, alias="not")
    drop: DropPolicies | None = None
    composite: CompositePolicy | None = None

    @model_validator(mode="after")
    def _settings_of_its_type(self) -> SamplingPolicy:
        if self.type == "status_code" and not (self.status_code and self.status_code.status_codes):
            raise ValueError(f"policy {self.name!r}: expected at least one status code to filter on")
        if self.type == "ottl_condition":
            given = self.ottl_condition
            if not given or not (given.span or given.spanevent):
                raise ValueError(f"policy {self.name!r}: expected at least one OTTL condition to filter on")
        return self


class TailSampling(Component):
    decision_wait: Duration = "30s"
    num_traces: int = Field(default=50000, ge=0)
    expected_new_traces_per_sec: int = Field(default=0, ge=0)
    policies: list[SamplingPolicy] = []
    decision_cache: Settings | None = None
    sample_on_first_match: bool = False
    drop_pending_traces_on_shutdown: bool = False
    block_on_overflow: bool = False
    maximum_trace_size_bytes: int = 0
    sampling_strategy: str = ""
    decision_wait_after_root_received: Duration = "0s"
    options: Any = None

    @model_validator(mode="after")
    def _names_of_their_own(self) -> TailSampling:
        names = [policy.name for policy in self.policies]
        if "" in names:
            raise ValueError("policies: a policy's name cannot be empty")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"policies: duplicate policy name {twice[0]!r}; give each a name of its own")
        return self


for _model in (SubPolicies, NotPolicy, DropPolicies, CompositePolicy, SamplingPolicy):
    _model.model_rebuild()
