"""Comparison of the observed outcome with what the scenario expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from checks.faults.scenario import Expect, Scenario
from checks.faults.traffic import Outcome

GRACE = 2.0
"""Seconds that a call may take to end after its user's deadline."""
LINGER = 1.0
"""Seconds after an answer during which its record is on its way (`FirehoseSink` collects for half of one)."""


@dataclass
class Observed:
    """The outcome of a scenario. Calls are those of the assistant until ``cleared``, when the faults were
    cleared.
    """

    outcomes: Sequence[Outcome] = ()
    captured: Counter[str] = field(default_factory=Counter)
    calls: Sequence[dict[str, Any]] = ()
    cleared: float = 0.0
    hits: int = 0
    log_lines: int = 0
    changed: bool = False
    recovered_after: float | None = None
    killed: float | None = None
    job: str = ""
    job_again: str = ""
    published: float | None = None

    @property
    def wanted(self) -> list[Outcome]:
        """Return the requests that have an interaction, and so a record."""
        return [each for each in self.outcomes if each.interaction_id]

    def missing(self, expect: Expect) -> list[str]:
        """Return the interactions that should be in the lake and are not."""
        whole = [each for each in self.wanted if expect.records == "all" or not each.problem]
        whole = [each for each in whole if not self._in_memory(each)]
        return [each.interaction_id for each in whole if each.interaction_id not in self.captured]

    def lost_in_memory(self) -> int:
        """Return the completed answers whose records a SIGKILL caught in memory."""
        return sum(
            self._in_memory(each) and not each.problem and each.interaction_id not in self.captured
            for each in self.wanted
        )

    def _in_memory(self, outcome: Outcome) -> bool:
        """Whether a process that was killed without warning may not have delivered the record."""
        return self.killed is not None and self.killed - LINGER < outcome.ended < self.killed + LINGER

    def per_request(self) -> dict[str, float]:
        """Return the calls of each operation per request."""
        counts = Counter(f"{call['service']}:{call['operation']}" for call in self.calls)
        return {name: count / max(1, len(self.outcomes)) for name, count in sorted(counts.items())}

    def longest_call(self) -> float:
        return max(((call["ended"] or self.cleared) - call["began"] for call in self.calls), default=0.0)

    def figures(self, expect: Expect) -> dict[str, Any]:
        """Return the numbers for the report."""
        seconds = [each.seconds for each in self.outcomes]
        return {
            "sent": len(self.outcomes),
            "with_id": len(self.wanted),
            "answered": sum(each.answered for each in self.outcomes),
            "captured": sum(each.interaction_id in self.captured for each in self.wanted),
            "twice": sum(self.captured[each.interaction_id] > 1 for each in self.wanted),
            "missing": len(self.missing(expect)),
            **({"lost_in_memory": self.lost_in_memory()} if self.killed is not None else {}),
            "statuses": dict(sorted(Counter(str(each.status) for each in self.outcomes).items())),
            "codes": dict(Counter(each.code or each.finish or each.problem for each in self.outcomes)),
            "slowest_s": round(max(seconds, default=0), 2),
            "longest_call_s": round(self.longest_call(), 2),
            "faults_met": self.hits,
            "log_lines": self.log_lines,
            "calls_per_request": {name: round(value, 2) for name, value in self.per_request().items()},
            "recovered_s": None if self.recovered_after is None else round(self.recovered_after, 2),
            **({"job": self.job, "job_again": self.job_again} if self.job else {}),
            **({"published": self.published} if self.published is not None else {}),
        }


def problems(scenario: Scenario, observed: Observed) -> list[str]:
    """Return a sentence for each expectation that did not hold."""
    return [
        *_of_answers(scenario.expect, observed),
        *_of_records(scenario, observed),
        *_of_calls(scenario, observed),
        *_of_job(scenario, observed),
    ]


def _of_answers(expect: Expect, observed: Observed) -> Iterator[str]:
    for status, count in Counter(each.status for each in observed.outcomes).items():
        if status not in expect.statuses:
            what = f"the status {status}" if status else "no answer at all"
            yield f"{count} requests got {what}, not {' or '.join(map(str, expect.statuses))}"
    cut = Counter(each.problem for each in observed.outcomes if each.problem and 0 not in expect.statuses)
    for problem, count in cut.items():
        yield f"{count} answers did not come to their end: {problem}"
    if late := [each.seconds for each in observed.outcomes if each.seconds > expect.within]:
        yield f"{len(late)} answers took longer than {expect.within:g} s, up to {max(late):.1f} s"
    codes = Counter(each.code for each in observed.outcomes if each.code)
    if expect.codes and (others := codes.keys() - set(expect.codes)):
        yield f"errors {', '.join(sorted(others))}, not {', '.join(expect.codes)}"
    answered = sum(each.answered for each in observed.outcomes)
    wrong = {
        "all": answered < len(observed.outcomes),
        "some": not answered,
        "none": answered > 0,
        "any": False,
    }
    if wrong[expect.answered]:
        yield f"{answered} of {len(observed.outcomes)} were answered, and {expect.answered} should be"


def _of_records(scenario: Scenario, observed: Observed) -> Iterator[str]:
    if missing := observed.missing(scenario.expect):
        yield f"{len(missing)} interactions are not in the lake, such as {missing[0]}"
    if observed.changed and not scenario.expect.executed:
        yield "a tool changed the records, which none may"
    if observed.recovered_after is None:
        yield f"it did not recover in {scenario.expect.recovers:g} s"


def _of_calls(scenario: Scenario, observed: Observed) -> Iterator[str]:
    if scenario.faults and not observed.hits:
        yield "no call met the fault: the scenario shows nothing"
    found = observed.per_request()
    for name, most in scenario.expect.calls.items():
        if found.get(name, 0) > most:
            yield f"{found[name]:.1f} calls of {name} for each request, and {most:g} are the most"
    lines, most_lines = observed.log_lines / max(1, len(observed.outcomes)), scenario.expect.log_lines
    if most_lines is not None and lines > most_lines:
        yield f"{lines:.0f} lines of log for each request, and {most_lines:g} are the most"
    longest = observed.longest_call()
    if observed.outcomes and longest > scenario.expect.within + GRACE:
        yield f"a call lasted {longest:.1f} s, and its user's deadline is {scenario.expect.within:g} s"


def _of_job(scenario: Scenario, observed: Observed) -> Iterator[str]:
    if scenario.job is None:
        return
    if observed.job != scenario.job.ends:
        yield f"the job was {observed.job}, not {scenario.job.ends}"
    if observed.job_again != "done":
        yield f"the job's next run was {observed.job_again}, not done"
    if scenario.job.publishes and observed.published != 1:
        yield f"{scenario.job.publishes} was published {observed.published:g} times, not once"
