"""Conclusions of a load run from its measurements."""

from __future__ import annotations

import random
from typing import Any

import pytest

from checks.load.stages import CANNED, SLOW, Report, Stage, slope


def stage(
    users: int, rate: float, *, name: str = "slow", health: float = 20, lost: int = 0, **outcomes: int
) -> Stage:
    measured: dict[str, Any] = {
        "users": users,
        "requests_per_second": rate,
        "outcomes": {"answered": 100, **outcomes},
        "refusals": [(float(second), "overloaded") for second in range(outcomes.get("503", 0))],
        "health_ms": {"p99": health},
        "memory": [],
        "answers": {"whole": {"p50": 2.0}, "streamed": {"p50": 4.0}},
    }
    return Stage(name, SLOW if name == "slow" else CANNED, measured, lost, 0)


def test_it_saturates_where_more_users_are_not_answered_more() -> None:
    report = Report([stage(1, 0.4), stage(4, 1.6), stage(16, 6.0), stage(64, 6.3), stage(128, 7.0)])
    assert report.saturates_at("slow").users == 16


def test_refusals_that_say_when_to_come_back_are_no_fault() -> None:
    assert Report([stage(400, 7.0, **{"503": 900, "429": 3})]).missed() == []


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (stage(4, 1.0, **{"503 without Retry-After": 1}), "Retry-After"),
        (stage(4, 1.0, **{"corrupted answer": 2}), "corrupted"),
        (stage(4, 1.0, **{"status 500": 1}), "500"),
        (stage(4, 1.0, lost=1), "1 records lost"),
        (stage(4, 1.0, health=101), "health took 101 ms"),
    ],
)
def test_what_did_not_hold_is_named_with_its_stage(bad: Stage, word: str) -> None:
    (sentence,) = Report([bad]).missed()
    assert sentence.startswith("slow model, 4 users: ")
    assert word in sentence


def test_turns_under_way_are_answers_a_second_times_their_seconds() -> None:
    assert stage(64, 10.0).in_flight == 30


def test_a_soak_below_what_one_task_holds_must_not_be_refused() -> None:
    (sentence,) = Report([stage(4, 1.0)], soak=stage(30, 7.0, name="soak", **{"503": 7})).missed()
    assert "refused 7 times (7 overloaded, from second 0 to 6)" in sentence


def test_a_slow_recovery_is_named() -> None:
    assert Report([stage(1, 1.0)], recovery_seconds=11).missed() == ["recovery took 11.0 s, more than 10"]


@pytest.mark.parametrize("growth", [0.0, 3.0])
@pytest.mark.parametrize(("alike", "least"), [(0.0, 0.93), (0.99, 0.93), (0.997, 0.85)])
def test_the_interval_of_the_slope_holds_the_truth_in_most_runs(
    growth: float, alike: float, least: float
) -> None:
    """Count by simulation how many intervals hold the truth, also when memory stays where it was: 0.997 from sample
    to sample is 0.8 from block to block, of which intervals for independent blocks hold about half."""
    chance, held, runs = random.Random(15), 0, 300
    for _ in range(runs):
        memory, noise = [], 0.0
        for sample in range(3000):
            noise = alike * noise + chance.gauss(0, 0.5)
            memory.append((sample / 5, int((280 + growth * sample / 300 + noise) * 2**20)))
        found = slope(memory)
        assert found
        held += found.low <= growth <= found.high
    assert least <= held / runs


def test_too_few_samples_have_no_slope() -> None:
    assert slope([(0.0, 1), (1.0, 2)]) is None
