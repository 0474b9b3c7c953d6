"""``python -m checks.scale.simulate < world.json``, in the environment of requirements/scale.in: one run by SimPy.

Real parts of the runtime decide in it, with the simulation's clock: `Turns` admits and spreads refused callers, and
botocore's own backoff and retry quota repeat throttled calls. The rest is modelled: the load balancer goes round the
tasks, a task's CPU is one queue, quotas are token buckets, and scaling is Application Auto Scaling's target tracking.
It prints a JSON object: `minutes`, and the number of throttled calls by bucket.
"""

from __future__ import annotations

import json
import math
import random
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import simpy
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import ExponentialBackoff, RetryContext

from checks.scale.scaling import Scaling
from checks.scale.world import Bucket, Call, Minute, World
from fmops.conversation.failures import RETRY_SECONDS, AnswerFailedError
from fmops.conversation.turns import Turns

MINUTE = 60.0
RETRY_COST, RETRY_UNITS = 5, 500
"""Units of botocore's retry quota that one retry of a throttled call takes, and that a client has."""
THROTTLED: Any = SimpleNamespace(is_throttling_error_from_context=lambda _: True)
"""botocore's detector of throttling, for which every failure here is one."""
Process = Generator[Any, Any, Any]


class Quota:
    """A token bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._level, self._at = bucket.burst, 0.0

    def take(self, units: float, now: float, open_calls: int) -> bool:
        """Take units if there are enough; `open_calls` is the number of model calls in progress."""
        bucket = self._bucket
        if bucket.grows_each:
            units *= max(1, math.ceil(open_calls / bucket.grows_each))
        self._level = min(bucket.burst, self._level + (now - self._at) * bucket.rate)
        self._at = now
        if self._level < units:
            return False
        self._level -= units
        return True


class Task:
    """One task behind the load balancer."""

    def __init__(self, simulation: Simulation) -> None:
        env = simulation.env
        self.turns = Turns(
            simulation.world.turns_per_task, simulation.world.turns_per_task, clock=lambda: env.now
        )
        self.cpu = simpy.Resource(env, 1)
        self.busy = 0.0
        self.requests = 0
        self.retries = RetryQuota(RETRY_UNITS)


class Simulation:
    """People, tasks and services until the world's end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.env = simpy.Environment()
        self.random = random.Random(world.seed)  # noqa: S311 - no secret
        self.quotas = {name: Quota(bucket) for name, bucket in world.buckets.items()}
        self.throttled: Counter[str] = Counter()
        self.tasks = [Task(self) for _ in range(world.tasks)]
        self.open_calls = 0
        self.minutes = [Minute(MINUTE * number) for number in range(math.ceil(world.seconds / MINUTE) + 1)]
        self._next = 0
        self._backoff = ExponentialBackoff(random=self.random.random, throttling_detector=THROTTLED)
        self._slice = world.cpu_seconds / max(1, sum(step.works for step in world.steps)) / world.speed
        self._ids = 0

    def run(self) -> None:
        if self.world.closed:
            for _ in range(self.world.closed):
                self.env.process(self._asks_again())
        else:
            self.env.process(self._arrivals())
        self.env.process(self._each_minute())
        self.env.run(until=self.world.seconds)

    @property
    def minute(self) -> Minute:
        return self.minutes[int(self.env.now / MINUTE)]

    def _arrivals(self) -> Process:
        """People arrive as a Poisson process whose rate follows `rates`, by thinning (Lewis and Shedler, 1979)."""
        times = [time for time, _ in self.world.rates]
        highest = max(rate for _, rate in self.world.rates)
        while True:
            yield self.env.timeout(self.random.expovariate(highest))
            if self.random.random() * highest < self._rate(times):
                self.env.process(self._ask())

    def _rate(self, times: list[float]) -> float:
        rates, now = self.world.rates, self.env.now
        index = min(max(1, bisect_right(times, now)), len(rates) - 1)
        (begin, low), (end, high) = rates[index - 1], rates[index]
        share = min(1.0, max(0.0, (now - begin) / (end - begin)))
        return float(low + share * (high - low))

    def _asks_again(self) -> Process:
        while True:
            yield from self._ask()

    def _ask(self) -> Process:
        """One question of one person, whose client retries what is refused."""
        began = self.env.now
        self.minute.asked += 1
        self._ids += 1
        person = str(self._ids)
        for attempt in range(self.world.client_retries + 1):
            self.minute.attempts += 1
            outcome, pause = yield from self._attempt(person)
            if outcome == "answered":
                self.minute.answered += 1
                self.minute.seconds.append(self.env.now - began)
                return
            if outcome == "withheld":
                self.minute.withheld += 1
                return
            if attempt < self.world.client_retries or self.world.closed:
                yield self.env.timeout(pause)
        self.minute.refused += 1

    def _attempt(self, person: str) -> Process:
        """Return the outcome of one request, and the seconds after which a refused client may try again."""
        self._next = (self._next + 1) % len(self.tasks)
        task = self.tasks[self._next]
        task.requests += 1
        try:
            leave = task.turns.enter(person)
        except AnswerFailedError as full:
            return "refused", float(full.failure.retry_after or 1)
        try:
            return (yield from self._turn(task))
        finally:
            leave()

    def _turn(self, task: Task) -> Process:
        for step in self.world.steps:
            if step.works and self._slice:
                with task.cpu.request() as turn:
                    yield turn
                    task.busy += self._slice
                    yield self.env.timeout(self._slice)
            for call in step.calls:
                if not (yield from self._call(task, call)):
                    if call.on_failure == "withheld":
                        return "withheld", 0.0
                    if call.on_failure == "busy":
                        return "refused", float(RETRY_SECONDS)
            of_model = step.name == "model"
            self.open_calls += of_model
            yield self.env.timeout(self._duration(step.seconds))
            self.open_calls -= of_model
        return "answered", 0.0

    def _call(self, task: Task, call: Call) -> Process:
        """Make calls at once; return whether all were accepted after the SDK's retries."""
        quota = self.quotas.get(call.bucket)
        if quota is None:
            return True
        whole, part = divmod(call.calls, 1)
        waiting = int(whole) + (self.random.random() < part)
        for attempt in range(1, self.world.attempts + 1):
            waiting = sum(not quota.take(call.units, self.env.now, self.open_calls) for _ in range(waiting))
            if not waiting:
                task.retries.release(RETRY_COST if attempt > 1 else 1)
                return True
            self.throttled[call.bucket] += waiting
            if attempt < self.world.attempts and task.retries.acquire(RETRY_COST):
                yield self.env.timeout(self._backoff.delay_amount(RetryContext(attempt, parsed_response={})))
            else:
                break
        return False

    def _duration(self, mean: float) -> float:
        """Return a duration from a log-normal distribution, or an exponential one if its spread is 1."""
        spread = self.world.spread
        if not mean or not spread:
            return mean
        if spread == 1:
            return self.random.expovariate(1 / mean)
        variance = math.log(1 + spread**2)
        return self.random.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))

    def _each_minute(self) -> Process:
        scaling = Scaling(self.world)
        while True:
            self.minute.tasks = len(self.tasks)
            yield self.env.timeout(MINUTE)
            count = len(self.tasks)
            metrics = {
                "TurnsUnderWay": sum(task.turns.mean() for task in self.tasks) / count,
                "ALBRequestCountPerTarget": sum(task.requests for task in self.tasks) / count,
                "ECSServiceAverageCPUUtilization": 100
                * sum(task.busy for task in self.tasks)
                / count
                / MINUTE
                / self.world.speed,
            }
            for task in self.tasks:
                task.requests, task.busy = 0, 0.0
            change = scaling.decide(metrics, count)
            for _ in range(change):
                self.env.process(self._start())
            for _ in range(-change):
                # Turns in progress end; the load balancer sends no more.
                self.tasks.pop()

    def _start(self) -> Process:
        yield self.env.timeout(self.world.start_seconds)
        self.tasks.append(Task(self))


def main() -> int:
    simulation = Simulation(World.from_json(sys.stdin.read()))
    simulation.run()
    answer = {
        "minutes": [asdict(minute) for minute in simulation.minutes[:-1]],
        "throttled": dict(simulation.throttled),
    }
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
