"""Target tracking: when tasks are added and removed, and how many."""

from __future__ import annotations

from itertools import pairwise

from checks.scale.scaling import HIGH_MINUTES, LATE, LOW_MINUTES, SCALE_IN_COOLDOWN, Scaling
from checks.scale.world import Step, World

TURNS, REQUESTS = "TurnsUnderWay", "ALBRequestCountPerTarget"
WORLD = World([Step("model", 1)], tasks=2, min_tasks=2, max_tasks=10, targets={TURNS: 30.0, REQUESTS: 300.0})
CALM = {TURNS: 10.0, REQUESTS: 100.0}
BUSY = {TURNS: 45.0, REQUESTS: 100.0}
DELAY = HIGH_MINUTES + LATE


def test_tasks_are_added_after_three_minutes_that_cloudwatch_has_seen() -> None:
    scaling = Scaling(WORLD)
    assert [scaling.decide(BUSY, 2) for _ in range(DELAY)] == [0] * (DELAY - 1) + [1]


def test_tasks_that_are_starting_are_not_added_again() -> None:
    scaling = Scaling(WORLD)
    assert sum(scaling.decide(BUSY, 2) for _ in range(10)) == 1


def test_the_policy_that_wants_most_decides() -> None:
    scaling = Scaling(WORLD)
    both = {TURNS: 45.0, REQUESTS: 900.0}
    assert sum(scaling.decide(both, 2) for _ in range(DELAY)) == 6 - 2


def test_no_more_than_the_maximum() -> None:
    scaling = Scaling(WORLD)
    assert sum(scaling.decide({TURNS: 3000.0, REQUESTS: 0.0}, 2) for _ in range(20)) == 8


def test_one_calm_minute_stops_an_alarm() -> None:
    scaling = Scaling(WORLD)
    minutes = [BUSY, BUSY, CALM, BUSY, BUSY, CALM, CALM]
    assert [scaling.decide(metrics, 2) for metrics in minutes] == [0] * len(minutes)


def test_tasks_are_removed_when_every_policy_agrees_and_not_below_the_minimum() -> None:
    scaling = Scaling(WORLD)
    sum(scaling.decide({TURNS: 150.0, REQUESTS: 0.0}, 2) for _ in range(DELAY))
    calm = [scaling.decide({TURNS: 12.0, REQUESTS: 60.0}, 10) for _ in range(LOW_MINUTES + LATE)]
    assert [each for each in calm if each] == [-6]  # 10 tasks of 12 turns are 4 of 30
    one_disagrees = Scaling(WORLD)
    sum(one_disagrees.decide({TURNS: 150.0, REQUESTS: 0.0}, 2) for _ in range(DELAY))
    assert not any(one_disagrees.decide({TURNS: 12.0, REQUESTS: 290.0}, 10) for _ in range(40))


def test_removals_wait_for_the_cooldown() -> None:
    scaling = Scaling(WORLD)
    sum(scaling.decide({TURNS: 150.0, REQUESTS: 0.0}, 2) for _ in range(DELAY))
    tasks, removed = 10, []
    for _ in range(60):
        change = scaling.decide({TURNS: 25.0, REQUESTS: 0.0}, tasks)
        tasks += change
        removed.append(change)
    at = [minute for minute, change in enumerate(removed) if change]
    assert all(later - earlier > SCALE_IN_COOLDOWN for earlier, later in pairwise(at))


def test_without_targets_nothing_changes() -> None:
    scaling = Scaling(World([Step("model", 1)]))
    assert not any(scaling.decide(BUSY, 1) for _ in range(30))
