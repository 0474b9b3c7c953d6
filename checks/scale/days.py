"""Simulated days: a plan of `ops.scale` as a world of `checks.scale.world`, run in the simulator's environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from checks.scale.world import Bucket, Call, Failure, Minute, Step, World
from ops.scale.day import DAY, PEAK_AT, Day
from ops.scale.limits import Plan
from ops.scale.quotas import Quota

PYTHON = Path(".venvs/scale/bin/python")
CHECK_SECONDS, TOOL_SECONDS = 0.05, 0.25
"""Seconds of guardrail checks, and of a tool's search with its authorization: as `checks.load` delays them, and more
for two calls after one another."""
BURST_SECONDS = {"second": 1.0, "minute": 6.0, "moment": 0.0}
"""Seconds of a quota that may be used at once: assumed, since AWS publishes no bursts."""
PEAK_SECONDS, PEAK_PEOPLE = 7200.0, 300_000
"""Seconds around the peak that are simulated, or fewer so that no more people than this ask."""
POINTS = 288
DETECTORS = ("DetectPiiEntities", "DetectToxicContent", "InvokeGuardrailChecks", "ApplyGuardrail")
SIMULATED: dict[str, Failure] = {
    **dict.fromkeys(DETECTORS, "withheld"),
    "IsAuthorizedWithToken": "withheld",
    "BatchIsAuthorizedWithToken": "withheld",
    "searches of the knowledge base": "busy",
    "embeddings with Titan Text V2": "busy",
}
"""Quotas of calls that are simulated, and what a call that stays throttled does to the turn."""
TOKENS, COUNTER = "chat tokens", "counter"


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the people who asked in a simulated time."""

    minutes: Sequence[Minute]
    throttled: dict[str, int]

    @property
    def asked(self) -> int:
        return sum(minute.asked for minute in self.minutes)

    def share(self, what: str) -> float:
        """Return the share of people who were `answered`, `refused` or whose answer was `withheld`."""
        ended = sum(minute.answered + minute.refused + minute.withheld for minute in self.minutes)
        return sum(getattr(minute, what) for minute in self.minutes) / ended if ended else 0.0

    def seconds(self, share: float) -> float:
        """Return a percentile of the seconds until an answer; NaN without any."""
        return percentile((each for minute in self.minutes for each in minute.seconds), share)

    @property
    def tasks(self) -> int:
        return max(minute.tasks for minute in self.minutes)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed; NaN for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def day(plan: Plan, requests: float, *, raised: bool) -> World:
    """Return a whole day, which begins at midnight."""
    curve = Day(requests, plan.peak_factor)
    rates = [(DAY * point / POINTS, curve.rate(DAY * point / POINTS)) for point in range(POINTS + 1)]
    return _world(plan, rates, DAY, raised=raised)


def peak(plan: Plan, requests: float, *, raised: bool) -> World:
    """Return the time around a day's peak."""
    curve = Day(requests, plan.peak_factor)
    half = min(PEAK_SECONDS, PEAK_PEOPLE / curve.peak) / 2
    times = [2 * half * point / POINTS for point in range(POINTS + 1)]
    return _world(
        plan, [(time, curve.rate(PEAK_AT - half + time)) for time in times], 2 * half, raised=raised
    )


def tripled(plan: Plan, requests: float, *, before: float, after: float) -> World:
    """Return the rate of a day's peak for `before` seconds, three times as much within a minute, then for `after`."""
    rate = plan.load(requests).rate
    rates = [(0.0, rate), (before, rate), (before + 60, 3 * rate), (before + 60 + after, 3 * rate)]
    return _world(plan, rates, before + 60 + after, raised=True)


def run(worlds: Sequence[World]) -> list[Outcome]:
    """Simulate worlds, two at a time, in their own processes."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(simulate, worlds))


def simulate(world: World) -> Outcome:
    """Simulate one world. Raises CalledProcessError if the simulator fails."""
    ended = subprocess.run(
        [PYTHON, "-m", "checks.scale.simulate"],
        input=world.to_json(),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return Outcome([Minute(**minute) for minute in found["minutes"]], found["throttled"])


def _world(plan: Plan, rates: list[tuple[float, float]], seconds: float, *, raised: bool) -> World:
    serving, request = plan.serving, plan.request
    start = replace(plan.load(0), rate=rates[0][1])
    return World(
        steps=steps(plan),
        rates=rates,
        seconds=seconds,
        turns_per_task=serving.turns_per_task,
        cpu_seconds=plan.limits.ordinary.cpu_seconds,
        speed=min(1.0, serving.vcpu),
        tasks=min(serving.max_tasks, start.tasks),
        min_tasks=serving.min_tasks,
        max_tasks=serving.max_tasks,
        targets=serving.targets,
        start_seconds=plan.limits.assumptions.start_seconds,
        buckets={} if raised else dict(_buckets(plan)),
        seed=round(request.seconds),
    )


def steps(plan: Plan) -> list[Step]:
    """Return the steps of an ordinary turn: checked, asked, authorized, searched, asked again, checked again."""
    request, limits = plan.request, plan.limits
    model = (request.seconds - 2 * CHECK_SECONDS - TOOL_SECONDS) / 2
    tokens = request.input_tokens + request.output_tokens * limits.assumptions.output_burndown
    asked = [Call(TOKENS, tokens)]
    change = Call(COUNTER, 1)

    def calls(share: Callable[[Quota, float], float]) -> list[Call]:
        found = []
        for quota in limits.quota:
            if quota.name in SIMULATED and plan.serving.has(quota.needs):
                measured = sum(limits.ordinary.calls.get(each, 0.0) for each in quota.operations)
                found.append(Call(quota.name, 1, share(quota, measured), SIMULATED[quota.name]))
        return [each for each in found if each.calls > 0]

    checked = calls(lambda quota, n: min(1.0, n) if quota.name in DETECTORS else 0.0)
    searched = calls(lambda quota, n: max(0.0, n - 2) if quota.name in DETECTORS else n)
    answered = calls(lambda quota, n: min(1.0, max(0.0, n - 1)) if quota.name in DETECTORS else 0.0)
    return [
        Step("reserve", 0, [change], works=False),
        Step("input", CHECK_SECONDS, checked),
        Step("model", model, asked, works=False),
        Step("settle and reserve", 0, [replace(change, calls=2)], works=False),
        Step("tools", TOOL_SECONDS, searched),
        Step("model", model, asked, works=False),
        Step("output", CHECK_SECONDS, [*answered, replace(change, on_failure="none")]),
    ]


def _buckets(plan: Plan) -> Iterable[tuple[str, Bucket]]:
    """Yield the known quotas of a new account."""
    for line in plan.lines(1):
        quota = line.quota
        if quota is None or line.limit is None:
            continue
        burst = line.limit * BURST_SECONDS[quota.per]
        if quota.name in SIMULATED:
            yield quota.name, Bucket(line.limit, burst)
        elif quota.demand == "chat_tokens":
            yield TOKENS, Bucket(line.limit, burst)
        elif quota.demand == "hot_counter":
            yield COUNTER, Bucket(line.limit, burst, grows_each=plan.limits.assumptions.reservations_per_kib)
