"""Input of a simulation: people, tasks, scaling, quotas and the steps of a turn. Plain values, passed as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Failure = Literal["busy", "withheld", "none"]
"""Effect on the turn of a call that stays throttled: `busy` refuses it with `Retry-After`, `withheld` ends it without
the answer, since guardrails and authorization fail closed, and `none` changes nothing, since it is repeated later."""


@dataclass(frozen=True)
class Call:
    """Calls that draw on one bucket, at once, and what happens if it is empty after the SDK's retries."""

    bucket: str
    units: float
    calls: float = 1.0
    on_failure: Failure = "busy"


@dataclass(frozen=True)
class Step:
    """A part of a turn: the assistant's own work, then calls, then the wait for their answers."""

    name: str
    seconds: float
    calls: Sequence[Call] = ()
    works: bool = True
    """Whether the assistant's own CPU time is spent here too, in equal parts over such steps."""


@dataclass(frozen=True)
class Bucket:
    """A quota: `rate` units a second, of which `burst` may be taken at once. A hot counter's unit grows with the
    model calls in progress: one more for each `grows_each` of them."""

    rate: float
    burst: float
    grows_each: float = 0.0


@dataclass(frozen=True)
class World:
    """Everything about one simulation.

    `rates` are points of time and of the requests per second then, in between which the rate is interpolated;
    `closed` is a number of people who ask again as soon as they have an answer, in place of rates.
    """

    steps: Sequence[Step]
    rates: Sequence[tuple[float, float]] = ()
    closed: int = 0
    seconds: float = 0.0
    turns_per_task: int = 48
    cpu_seconds: float = 0.030
    speed: float = 1.0
    """CPUs that a task can use: Python uses one at most."""
    spread: float = 0.5
    """Standard deviation of the steps' durations over their mean; 1 is exponential, 0 is constant."""
    tasks: int = 1
    min_tasks: int = 1
    max_tasks: int = 1
    targets: Mapping[str, float] = field(default_factory=dict)
    """Targets of the scaling policies, by metric: turns per task, requests per task and minute, percent of CPU."""
    start_seconds: float = 90.0
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    attempts: int = 2
    """Attempts of a call by the SDK, the first included (fmops.assistant.assembly, fmops.guardrails.settings)."""
    client_retries: int = 2
    """Retries of a client (OpenAI's libraries: 2), which obeys `Retry-After`; None of them with 0."""
    seed: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> World:
        given: dict[str, Any] = json.loads(text)
        steps = [
            Step(**{**each, "calls": [Call(**call) for call in each["calls"]]}) for each in given.pop("steps")
        ]
        buckets = {name: Bucket(**each) for name, each in given.pop("buckets").items()}
        return cls(**{**given, "steps": steps, "buckets": buckets})


@dataclass
class Minute:
    """Counts of one minute of a simulation."""

    at: float
    asked: int = 0
    answered: int = 0
    refused: int = 0
    """People who gave up after their client's retries."""
    withheld: int = 0
    attempts: int = 0
    tasks: int = 0
    """Tasks in service at the minute's end."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of each answer, from the first attempt to the whole answer."""
