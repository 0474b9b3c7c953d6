"""Runs scenarios, one after the other, against a deployment."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from checks.faults.deployed import Deployed
from checks.faults.judge import Observed, problems
from checks.faults.scenario import Ask, Job, Scenario
from checks.faults.traffic import Outcome, send
from local.processes.process import ProcessError
from ops.jobs import JobError, follow, start

HELLO = Ask.model_validate({"say": "Hello, who are you?", "count": 1})
LOOK_SECONDS = 0.25
HIT_SECONDS = 10.0


@dataclass(frozen=True)
class Result:
    """One row of the report."""

    scenario: Scenario
    problems: list[str]
    figures: dict[str, Any]
    seconds: float

    @property
    def green(self) -> bool:
        return not self.problems

    def row(self) -> dict[str, Any]:
        return {
            "name": self.scenario.name,
            "what": self.scenario.what,
            "green": self.green,
            "problems": self.problems,
            "seconds": round(self.seconds, 1),
            **self.figures,
        }


def run(deployed: Deployed, scenario: Scenario) -> Result:
    """Cause the faults, observe, clear them, and wait until everything has recovered and is on record."""
    began, expect = time.monotonic(), scenario.expect
    _recovery(deployed, expect.recovers)  # from the start, and from the scenario before
    deployed.record()
    records = deployed.records()
    observed = Observed()
    lines = deployed.log_lines()
    published = _samples(deployed, scenario.job)
    with _limited(deployed, scenario):
        deployed.install(scenario.faults)
        kill = _Kill(deployed, scenario)
        observed.outcomes = send(deployed.url, scenario.ask, deployed.token, within=expect.within, told=kill)
        if scenario.job:
            observed.job = _run_job(scenario.job)
        if scenario.faults:
            # Work that the assistant does after its answers, such as capture, meets the fault later.
            _until(lambda: deployed.hits() > 0, HIT_SECONDS)
        time.sleep(scenario.hold)
        observed.cleared, observed.calls = time.time(), deployed.journal()
        observed.hits = deployed.hits() if scenario.faults else 0
        observed.log_lines = deployed.log_lines() - lines
        deployed.install([])
    kill.mend()
    if scenario.kill == "assistant" and not scenario.stop:
        observed.killed = kill.at
    observed.changed = deployed.records() != records
    observed.recovered_after = _recovery(deployed, expect.recovers)
    if scenario.job:
        observed.job_again = _run_job(scenario.job)
        _run_job(scenario.job)
        if scenario.job.publishes:
            observed.published = _samples(deployed, scenario.job) - published
    _until(lambda: _take(deployed, observed, expect), expect.recovers)
    return Result(scenario, problems(scenario, observed), observed.figures(expect), time.monotonic() - began)


def _take(deployed: Deployed, observed: Observed, expect: Any) -> bool:
    observed.captured = deployed.captured()
    return not observed.missing(expect)


def _recovery(deployed: Deployed, within: float) -> float | None:
    """Return the seconds until somebody is answered again, or None if nobody is in time."""
    began = time.monotonic()

    def well() -> bool:
        outcomes: Sequence[Outcome] = send(deployed.url, [HELLO], deployed.token, within=within)
        return all(each.answered for each in outcomes)

    return time.monotonic() - began if _until(well, within) else None


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


class _Kill:
    """Kills the scenario's process in the middle of the load, and restarts it as ECS does."""

    def __init__(self, deployed: Deployed, scenario: Scenario) -> None:
        self._deployed, self._scenario = deployed, scenario
        self._answers, self._lock = 0, threading.Lock()
        # By then other requests are under way, and the records of the first have been delivered.
        self._killed_after = sum(ask.count for ask in scenario.ask) // 2
        self.at: float | None = None

    def __call__(self) -> None:
        if not self._scenario.kill:
            return
        # Requests wait here meanwhile: a load balancer sends nobody to a task that is not ready.
        with self._lock:
            self._answers += 1
            if self._answers != self._killed_after:
                return
            self.at = time.time()
            process = self._deployed.runner.process(self._scenario.kill)
            if self._scenario.stop:
                process.stop()
            else:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._deployed.runner.restart(self._scenario.kill)
            with suppress(ProcessError):  # it may not become ready until the fault is gone
                self._deployed.runner.wait_ready()

    def mend(self) -> None:
        """Wait until the killed process is ready again."""
        if self.at is not None:
            self._deployed.runner.wait_ready()


@contextmanager
def _limited(deployed: Deployed, scenario: Scenario) -> Iterator[None]:
    if scenario.limit is None:
        yield
        return
    before = []
    if scenario.limit.files is not None:
        soft = deployed.open_files() + scenario.limit.files
        before.append((resource.RLIMIT_NOFILE, deployed.limit(resource.RLIMIT_NOFILE, soft)))
    if scenario.limit.file_bytes is not None:
        soft = scenario.limit.file_bytes
        before.append((resource.RLIMIT_FSIZE, deployed.limit(resource.RLIMIT_FSIZE, soft)))
    try:
        yield
    finally:
        for name, (soft, _) in before:
            deployed.limit(name, soft)


def _run_job(job: Job) -> str:
    day = f"{datetime.now(UTC) - timedelta(days=job.days_ago):%Y-%m-%d}"
    arguments = {"analyse": ["--from", day], "review": ["--day", day]}[job.name]
    try:
        follow(start(job.name, "fmops-dev", arguments))
    except JobError:
        return "failed"
    return "done"


def _samples(deployed: Deployed, job: Job | None) -> float:
    if job is None or not job.publishes:
        return 0
    namespace, _, name = job.publishes.rpartition(" ")
    return deployed.samples(namespace, name)
