"""Each limit at a day's load: the need at its peak, the share that is used, and the day that would break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fmops.budgets.amounts import dearest
from fmops.telemetry.prices import prices
from ops.cost.idle import DAYS
from ops.cost.prices import Request
from ops.scale.day import DAY
from ops.scale.demand import Load, need
from ops.scale.profile import Serving
from ops.scale.quotas import Limits, Quota

MOST_REQUESTS = 1e12
ROOM = 1.25
"""Factor from the need to the quota to ask for."""
FIVE_MINUTES = 300


@dataclass(frozen=True)
class Line:
    """A limit and what a day needs of it. Rates are per second."""

    service: str
    name: str
    need: float
    limit: float | None
    """None when no figure could be verified."""
    unit: str
    mark: str
    moves: str
    breaks_at: float | None
    """Requests a day at which the need reaches the limit; None without a limit, or beyond 1e12."""
    quota: Quota | None = None
    """The quota of AWS; None for a limit of the deployment's own settings."""

    @property
    def used(self) -> float | None:
        """Share of the limit that is needed."""
        return None if self.limit is None else self.need / self.limit


@dataclass(frozen=True)
class Plan:
    """A way to compute lines for any number of requests a day."""

    serving: Serving
    request: Request
    limits: Limits
    region: str
    peak_factor: float

    def load(self, requests: float) -> Load:
        """Return the load at the day's peak."""
        return Load(requests / DAY * self.peak_factor, self.serving, self.request, self.limits)

    def lines(self, requests: float) -> list[Line]:
        """Return every limit that applies to the profile, the most used first, unknown limits last."""
        lines = [*self._quotas(requests), *self._settings(requests)]
        return sorted(lines, key=lambda line: -1.0 if line.used is None else line.used, reverse=True)

    def first(self, lines: list[Line]) -> Line:
        """Return the limit that breaks at the fewest requests."""
        return min(lines, key=lambda line: line.breaks_at or float("inf"))

    def _quotas(self, requests: float) -> Iterator[Line]:
        for quota in self.limits.quota:
            if not self.serving.has(quota.needs) or (quota.demand == "hot_counter" and not self._counted):
                continue
            of_another = (
                quota.model and quota.model not in self.serving.model_id + self.serving.embedding_model_id
            )
            limit = None if of_another else quota.in_region(self.region)

            def needed(day: float, quota: Quota = quota) -> float:
                return need(quota, self.load(day))

            yield Line(
                quota.service,
                quota.name,
                needed(requests),
                limit,
                quota.unit,
                "?" if limit is None else quota.mark,
                quota.moves,
                breaking(needed, limit),
                quota,
            )

    def _settings(self, requests: float) -> Iterator[Line]:
        """Yield the limits that the deployment sets itself."""
        for name, limit, unit, moves, needed in self._own():
            yield Line("own setting", name, needed(requests), limit, unit, "", moves, breaking(needed, limit))

    def _own(self) -> Iterator[tuple[str, float, str, str, Callable[[float], float]]]:
        if not self.serving.on_lambda:
            most = self.serving.max_tasks * self.load(0).held
            moves = "assistant.max_tasks, assistant.cpu, assistant.turns_per_task"
            yield "tasks", most, "requests/s", moves, lambda day: self.load(day).rate
        for name, limit in self.serving.budgets.get("deployment", {}).items():
            what, _, window = name.rpartition("_per_")
            yield (
                f"budget of the deployment, {name}",
                float(limit),
                f"{what} a {window}",
                f"assistant.budgets.deployment.{name}",
                partial(self._spent, what, window),
            )
        if self.serving.address_limit:
            yield (
                "firewall, if all come from one address",
                float(self.serving.address_limit),
                "requests in 5 min",
                "assistant.firewall.requests_per_five_minutes",
                lambda day: self.load(day).rate * FIVE_MINUTES,
            )

    @property
    def _counted(self) -> bool:
        return bool(self.serving.budgets.get("deployment"))

    def _spent(self, what: str, window: str, requests: float) -> float:
        """Return what model calls spend in a window: a minute at the peak, a whole day or month."""
        times = {"minute": self.load(requests).rate * 60, "day": requests, "month": requests * DAYS}[window]
        calls = self.request.model_calls
        if what == "requests":
            return times
        if what == "tokens":
            return times * calls * (self.request.input_tokens + self.request.output_tokens)
        price = prices().price(self.serving.model_id) or dearest()
        return (
            times
            * calls
            * (self.request.input_tokens * price.input + self.request.output_tokens * price.output)
            / 1e6
        )


def breaking(needed: Callable[[float], float], limit: float | None) -> float | None:
    """Return the requests a day at which a need, which grows with them, reaches the limit, by bisection."""
    if limit is None or needed(MOST_REQUESTS) < limit:
        return None
    low, high = 1.0, MOST_REQUESTS
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if needed(middle) >= limit else (middle, high)
    return high
