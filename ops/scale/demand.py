"""The need for each limited thing at a rate of requests: calls, tokens, bytes, counters, processors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ops.cost.prices import Request
from ops.scale.profile import CPU, REQUESTS, TURNS, Serving
from ops.scale.quotas import Demand, Limits, Quota

HEADROOM = 0.6
"""Share of a task's turns and CPU that scaling aims at, and that plans use for a profile that does not scale."""
CHANGES_PER_CALL = 2
"""Updates of a counter for one model call: reservation and settlement (fmops/budgets/counters.py)."""
KIB = 1024


@dataclass(frozen=True)
class Load:
    """A rate of ordinary requests, in requests per second, on the tasks of a profile."""

    rate: float
    serving: Serving
    request: Request
    limits: Limits

    @property
    def model_calls(self) -> float:
        """Model calls per second."""
        return self.rate * self.request.model_calls

    @property
    def open_calls(self) -> float:
        """Model calls in progress, by Little's law; a turn is taken to consist of them."""
        return self.rate * self.request.seconds

    @property
    def held(self) -> float:
        """Requests per second that one task can answer: its turns, or its CPU, of which Python uses one at most."""
        turns = self.serving.turns_per_task / self.request.seconds
        return min(turns, min(self.serving.vcpu, 1) / self.limits.ordinary.cpu_seconds)

    @property
    def tasks(self) -> int:
        """Number of tasks, or of a function's environments, that scaling would settle at."""
        if self.serving.on_lambda:
            return math.ceil(self.rate * self.request.seconds)
        targets = self.serving.targets
        turns = targets.get(TURNS, HEADROOM * self.serving.turns_per_task)
        cpu = targets.get(CPU, 100 * HEADROOM) / 100 * min(self.serving.vcpu, 1)
        needs = [self.rate * self.request.seconds / turns, self.rate * self.limits.ordinary.cpu_seconds / cpu]
        if REQUESTS in targets:
            needs.append(self.rate * 60 / targets[REQUESTS])
        return max(self.serving.min_tasks, math.ceil(max(needs)))


def need(quota: Quota, load: Load) -> float:
    """Return the need for what a quota limits: per second for rates, else at a moment."""
    return NEEDS[quota.demand](quota, load)


def _calls(quota: Quota, load: Load) -> float:
    calls = load.limits.ordinary.calls
    return load.rate * sum(calls.get(operation, 0.0) for operation in quota.operations)


def _chat_tokens(_: Quota, load: Load) -> float:
    """Return tokens per second. Bedrock takes the input and `max_tokens` when a call begins, and gives back at its end
    what was not used; an output token counts several times (Bedrock User Guide, "How tokens are counted")."""
    output = load.request.output_tokens * load.limits.assumptions.output_burndown
    spent = load.model_calls * (load.request.input_tokens + output)
    held = load.open_calls * max(0.0, load.serving.max_output_tokens - output)
    return spent + held / 60


def _record_bytes(_: Quota, load: Load) -> float:
    return load.rate * load.request.record_kb * KIB


def _hot_counter(_: Quota, load: Load) -> float:
    """Return write units per second of the deployment's counter, which holds every open reservation: an update costs
    a unit for each KiB of the item."""
    size = math.ceil(load.open_calls / load.limits.assumptions.reservations_per_kib)
    return load.model_calls * CHANGES_PER_CALL * max(1, size)


def _vcpu(_: Quota, load: Load) -> float:
    """Return the CPUs of a deployment under load, which runs old and new tasks at once."""
    return 2 * load.tasks * load.serving.vcpu


def _concurrency(_: Quota, load: Load) -> float:
    return load.rate * load.request.seconds


def _samples(_: Quota, load: Load) -> float:
    return load.tasks * load.request.series / load.serving.metric_seconds


def _series(_: Quota, load: Load) -> float:
    return load.tasks * load.request.series


def _sign_ins(_: Quota, load: Load) -> float:
    return load.rate / load.limits.assumptions.requests_per_sign_in


def _prompt_reads(_: Quota, load: Load) -> float:
    return load.tasks / load.serving.prompt_seconds


NEEDS: Mapping[Demand, Callable[[Quota, Load], float]] = {
    "calls": _calls,
    "chat_tokens": _chat_tokens,
    "record_bytes": _record_bytes,
    "hot_counter": _hot_counter,
    "vcpu": _vcpu,
    "concurrency": _concurrency,
    "samples": _samples,
    "series": _series,
    "sign_ins": _sign_ins,
    "prompt_reads": _prompt_reads,
}
