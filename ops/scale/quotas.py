"""The list of limits, typed: quotas of AWS in a new account, and the deployment's own limits."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    model_validator,
)

FILE = Path(__file__).with_name("quotas.toml")
_STRICT = ConfigDict(extra="forbid", frozen=True)

Demand = Literal[
    "calls",
    "chat_tokens",
    "record_bytes",
    "hot_counter",
    "vcpu",
    "concurrency",
    "samples",
    "series",
    "sign_ins",
    "prompt_reads",
]
Evidence = Literal["documentation", "reading", "memory", "none"]
MARKS: Mapping[Evidence, str] = {"documentation": "", "reading": "†", "memory": "‡", "none": "?"}
"""Mark of each kind of evidence beside a limit."""


class Quota(BaseModel):
    """One limit.

    `demand` says how the need is computed (`ops.scale.demand`); `calls` counts `operations`. `needs` is a resource type
    of the templates, or the kind of a detector, without which the quota does not apply. `model` is part of the id of
    the chat or embedding model that it belongs to. Without a `limit`, no figure could be verified.
    """

    model_config = _STRICT

    name: str
    service: str
    demand: Demand = "calls"
    operations: tuple[str, ...] = ()
    limit: PositiveFloat | None = None
    regions: Mapping[str, PositiveFloat] = {}
    """Limits of regions that differ from `limit`."""
    per: Literal["second", "minute", "moment"]
    """Whether it limits a rate, or what there is at any moment."""
    unit: str = "calls"
    adjustable: Literal["yes", "no", "by itself", "unknown"]
    """Whether Service Quotas raises it on request."""
    code: str = Field(default="", pattern=r"^(L-[0-9A-F]{8})?$")
    needs: str = ""
    model: str = ""
    moves: str
    """Ways to move the limit or the need: a setting, or a quota to request."""
    evidence: Evidence
    source: str
    date: date
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.limit is None) != (self.evidence == "none"):
            raise ValueError("a limit needs evidence, and without evidence there is no limit")
        if (self.demand == "calls") != bool(self.operations):
            raise ValueError("operations belong to the demand 'calls', and only to it")
        return self

    def in_region(self, region: str) -> float | None:
        """Return the limit of a region, per second for rates."""
        limit = self.regions.get(region, self.limit)
        return limit / 60 if limit is not None and self.per == "minute" else limit

    @property
    def mark(self) -> str:
        return MARKS[self.evidence]


class Ordinary(BaseModel):
    """Calls and CPU of an ordinary request, measured (`checks.scale.calls`)."""

    model_config = _STRICT

    measured: date
    calls: Mapping[str, NonNegativeFloat]
    """Calls of each operation, `service:Operation`, for one request whose answer is streamed."""
    cpu_seconds: PositiveFloat
    """CPU time of the assistant's process."""


class Assumptions(BaseModel):
    """Facts about people and models that no template has. Change them to what your dashboards show."""

    model_config = _STRICT

    peak_factor: PositiveFloat
    output_burndown: PositiveFloat
    """Tokens of the quota that one output token takes."""
    reservations_per_kib: PositiveFloat
    """Open reservations that fit in the first KiB of a budget's counter."""
    requests_per_sign_in: PositiveFloat
    start_seconds: PositiveFloat
    """Seconds from the decision to add a task until the load balancer sends it requests."""


class Limits(BaseModel):
    """Everything in quotas.toml."""

    model_config = _STRICT

    as_of: date
    assumptions: Assumptions
    ordinary: Ordinary
    quota: tuple[Quota, ...]


def read(file: Path = FILE) -> Limits:
    """Return the limits of a file. Raises ValueError, which names the file and the fault."""
    try:
        return Limits.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"{file.name} cannot be used: {error}") from None
