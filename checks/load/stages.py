"""The stages of a load run, and the bounds of each."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from scipy.stats import t as student

from checks.load.deployment import Deployed
from checks.load.probe import Probe
from checks.load.services import Pace

PYTHON = Path(".venvs/load/bin/python")
CANNED = Pace()
SLOW = Pace(first_token=0.8, chunk=0.05, check=0.05, embedding=0.1, delivery=0.05)
"""A model with its first token after 0.8 s and thirty more pieces, 50 ms apart, and services as fast as
in their region."""
LONGEST_HEALTH_MS = 100.0
RECOVERY_SECONDS = 10.0
DELIVERY_SECONDS = 30.0
OVERLOAD = 3
SOAK_SHARE = 0.7
GAIN = 1.1
"""A stage that does not answer this many times as much as the stage before it is beyond saturation."""
BLOCKS = 20
MOST_CORRELATED = 0.95


@dataclass
class Stage:
    """One stage: its settings, and the measurements of ``checks.load.users``."""

    name: str
    pace: Pace
    measured: dict[str, Any]
    lost: int
    """Number of answered interactions whose record was not delivered."""
    twice: int
    """Number of interactions whose record was delivered more than once."""

    @property
    def users(self) -> int:
        return int(self.measured["users"])

    @property
    def rate(self) -> float:
        """Answers per second."""
        return float(self.measured["requests_per_second"])

    @property
    def in_flight(self) -> float:
        """Concurrent turns, by Little's law: answers per second times the seconds that one takes (median)."""
        medians = [kind["p50"] for kind in self.measured["answers"].values() if kind]
        return self.rate * fmean(medians) if medians else 0.0

    @property
    def refused(self) -> int:
        return sum(count for name, count in self.measured["outcomes"].items() if name in ("429", "503"))

    @property
    def wrong(self) -> dict[str, int]:
        """Return the outcomes, with their numbers, that are neither an answer nor a refusal that says when
        to come back."""
        return {
            name: count
            for name, count in self.measured["outcomes"].items()
            if name not in ("answered", "429", "503")
        }


@dataclass
class Report:
    """Every stage, and the conclusions from them."""

    stages: list[Stage] = field(default_factory=list)
    recovery_seconds: float | None = None
    soak: Stage | None = None

    def of(self, name: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.name == name]

    def saturates_at(self, name: str) -> Stage:
        """Return the last stage that answered notably more than the one before it."""
        stages = self.of(name)
        best = stages[0]
        for stage in stages[1:]:
            if stage.rate < GAIN * best.rate:
                break
            best = stage
        return best

    def missed(self) -> list[str]:
        """Return a sentence for each bound that did not hold."""
        return list(self._missed())

    def _missed(self) -> Iterator[str]:
        every = [*self.stages, *([self.soak] if self.soak else [])]
        for stage in every:
            at = f"{stage.name} model, {stage.users} users"
            for name, count in stage.wrong.items():
                yield f"{at}: {count} times {name}"
            if stage.lost or stage.twice:
                yield f"{at}: {stage.lost} records lost, {stage.twice} delivered twice"
            if (slowest := stage.measured["health_ms"]["p99"]) > LONGEST_HEALTH_MS:
                yield f"{at}: health took {slowest:.0f} ms (p99), more than {LONGEST_HEALTH_MS:.0f}"
        if self.recovery_seconds is not None and self.recovery_seconds > RECOVERY_SECONDS:
            yield f"recovery took {self.recovery_seconds:.1f} s, more than {RECOVERY_SECONDS:.0f}"
        if self.soak and self.soak.refused:
            yield (
                f"the soak was refused {self.soak.refused} times ({_described(self.soak.measured['refusals'])}), "
                "although it asks for less than one task can take"
            )
        if self.soak and (growth := slope(self.soak.measured["memory"])) and growth.low > 0:
            yield f"memory grows by {growth.estimate:.2f} MiB a minute [{growth.low:.2f}, {growth.high:.2f}]"


def _described(refusals: Sequence[tuple[float, str]]) -> str:
    """Return the codes of refusals with their numbers, and when the first and the last came."""
    counts = Counter(code for _, code in refusals)
    times = [seconds for seconds, _ in refusals]
    codes = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
    return f"{codes}, from second {min(times):.0f} to {max(times):.0f}" if times else "without a code"


@dataclass(frozen=True)
class Slope:
    """A slope in MiB a minute with its 95 % interval."""

    estimate: float
    low: float
    high: float


def slope(memory: Sequence[tuple[float, int]]) -> Slope | None:
    """Return the trend of resident memory over the second half of a stage, by least squares over the means
    of 20 blocks.

    ``memory`` is seconds and bytes. Returns None for too few samples. A process's memory stays where it was, so
    neighbouring blocks are alike and count as fewer independent ones: n(1 - r)/(1 + r) for the residuals' correlation
    r from block to block (Santer et al., 2000, Journal of Geophysical Research 105, eq. 6), which short series
    underestimate by about (1 + 3r)/n (Marriott and Pope, 1954).
    """
    later = list(memory)[len(memory) // 2 :]
    size = len(later) // BLOCKS
    if not size:
        return None
    blocks = [later[index * size : (index + 1) * size] for index in range(BLOCKS)]
    x = [fmean(seconds for seconds, _ in block) / 60 for block in blocks]
    y = [fmean(resident for _, resident in block) / 2**20 for block in blocks]
    middle, level = fmean(x), fmean(y)
    spread = sum((each - middle) ** 2 for each in x)
    rate = sum((at - middle) * (value - level) for at, value in zip(x, y, strict=True)) / spread
    rest = [value - level - rate * (at - middle) for at, value in zip(x, y, strict=True)]
    squares = sum(each**2 for each in rest)
    alike = max(0.0, sum(one * other for one, other in pairwise(rest)) / squares) if squares else 0.0
    alike = min(MOST_CORRELATED, alike + (1 + 3 * alike) / BLOCKS)
    freedom = max(1.0, BLOCKS * (1 - alike) / (1 + alike) - 2)
    margin = float(student.ppf(0.975, freedom)) * math.sqrt(squares / freedom / spread)
    return Slope(rate, rate - margin, rate + margin)


def measure(running: Deployed, users: Sequence[int], seconds: float, soak: float, console: Console) -> Report:
    """Run the stages: both models with every number of users, overload, recovery, and a soak of ``soak`` seconds."""
    report = Report()
    _stage(running, "canned", CANNED, 4, 3, console)  # creates everything that the first request would create
    for name, pace in (("canned", CANNED), ("slow", SLOW)):
        for number in users:
            report.stages.append(_stage(running, name, pace, number, seconds, console))
    held = report.saturates_at("slow")
    report.stages.append(_stage(running, "overload", SLOW, OVERLOAD * held.users, seconds, console))
    report.recovery_seconds = _recovery(running, report.of("slow")[0], console)
    if soak:
        # Turns of the overload whose users are gone may still be under way.
        _stage(running, "settling", SLOW, 1, RECOVERY_SECONDS, console)
        report.soak = _stage(running, "soak", SLOW, max(1, round(SOAK_SHARE * held.in_flight)), soak, console)
    return report


def _recovery(running: Deployed, alone: Stage, console: Console) -> float:
    """Return the seconds after the overload until one user is not refused and is answered as fast as before
    it.
    """
    began = time.monotonic()
    usual = (alone.measured["answers"]["whole"] or alone.measured["answers"]["streamed"])["p95"]
    while (taken := time.monotonic() - began) < 6 * RECOVERY_SECONDS:
        stage = _stage(running, "recovery", SLOW, 1, 2, console)
        answers = stage.measured["answers"]["whole"] or stage.measured["answers"]["streamed"]
        if not stage.refused and not stage.wrong and answers and answers["p50"] <= 1.5 * usual:
            return taken
    return taken


def _stage(running: Deployed, name: str, pace: Pace, users: int, seconds: float, console: Console) -> Stage:
    running.pace(pace)
    before = len(running.delivered())
    command = [str(PYTHON), "-m", "checks.load.users", "--host", running.url, "--tokens", str(running.tokens)]
    command += ["--pids", json.dumps(running.pids), "--users", str(users), "--seconds", str(seconds)]
    with console.status(f"{name} model, {users} users, {seconds:g} s"):
        with Probe(running.url) as probe:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        measured: dict[str, Any] = {**json.loads(done.stdout), "health_ms": probe.milliseconds()}
        answered = set(measured.pop("interaction_ids"))
        lost, twice = _records(running, before, answered)
    stage = Stage(name, pace, measured, lost, twice)
    console.print(
        f"{name:9} {users:4} users: {stage.rate:6.1f} answers/s, {stage.refused} refused, {lost} records lost"
        + (f", [red]{stage.wrong}[/]" if stage.wrong else "")
    )
    return stage


def _records(running: Deployed, before: int, answered: set[str]) -> tuple[int, int]:
    """Return how many answered interactions have no record, and how many have two, once delivery has had its
    time.
    """
    deadline = time.monotonic() + DELIVERY_SECONDS
    while (missing := answered - set(running.delivered()[before:])) and time.monotonic() < deadline:
        time.sleep(0.2)
    counts = Counter(running.delivered()[before:])
    return len(missing), sum(1 for each in answered if counts[each] > 1)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report for a file, without the samples of memory."""
    every = [*report.stages, *([report.soak] if report.soak else [])]
    growth = slope(report.soak.measured["memory"]) if report.soak else None
    stages = [asdict(stage) | {"measured": {**stage.measured, "memory": None}} for stage in every]
    held = report.saturates_at("slow")
    return {
        "stages": stages,
        "recovery_seconds": report.recovery_seconds,
        "memory_mib_per_minute": asdict(growth) if growth else None,
        "one_task_holds": {"turns_at_once": round(held.in_flight), "answers_per_second": held.rate},
        "missed": report.missed(),
    }
