"""Moments at which refused callers are told to try again: spread out, however many there are."""

from __future__ import annotations

from collections import Counter

from fmops.conversation.turns import ATTEMPTS_PER_SECOND, LONGEST_PAUSE, Turns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def full() -> tuple[Turns, Clock]:
    clock = Clock()
    turns = Turns(most=1, per_user=1, clock=clock)
    turns.enter("carla")
    return turns, clock


def pause(turns: Turns) -> int:
    refused = turns.full()
    assert refused and refused.retry_after
    assert f"in {refused.retry_after} seconds" in refused.message
    return refused.retry_after


def test_a_single_refused_caller_waits_a_second_or_two() -> None:
    turns, clock = full()
    for _ in range(5):
        assert pause(turns) <= 2
        clock.now += 1


def test_many_who_are_refused_at_once_come_back_spread_out() -> None:
    turns, _ = full()
    by_second = Counter(pause(turns) for _ in range(12 * ATTEMPTS_PER_SECOND))
    assert max(by_second.values()) <= ATTEMPTS_PER_SECOND + 1
    assert max(by_second) <= 14


def test_callers_who_obey_never_make_more_attempts_than_that() -> None:
    """Simulate 400 callers who come back exactly when they were told."""
    turns, clock = full()
    due = [clock.now] * 400
    attempts: Counter[int] = Counter()
    for second in range(120):
        clock.now = 100.0 + second
        for caller, moment in enumerate(due):
            if moment <= clock.now:
                due[caller] = clock.now + pause(turns)
                attempts[second] += 1
    # Of the first minute, only the very first second is as the callers chose.
    assert (
        max(count for second, count in attempts.items() if second > LONGEST_PAUSE) <= ATTEMPTS_PER_SECOND + 2
    )


def test_nobody_waits_longer_than_the_longest_pause() -> None:
    turns, clock = full()
    assert max(pause(turns) for _ in range(5_000)) == LONGEST_PAUSE
    clock.now += LONGEST_PAUSE
    assert pause(turns) <= 2
