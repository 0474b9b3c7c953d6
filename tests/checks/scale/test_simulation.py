"""The simulator against formulas of queueing theory, which know nothing of it, and against `make load`."""

from __future__ import annotations

import math

import pytest

from checks.scale.days import PYTHON, Outcome, percentile, simulate
from checks.scale.world import Bucket, Call, Step, World

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venvs/scale: make .venvs/scale/installed")

HOUR = 3600.0


def world(*steps: Step, rate: float = 0.0, seconds: float = 2 * HOUR, **changes: object) -> World:
    """Return a world of people who arrive evenly, with one task, no CPU time and clients that do not retry."""
    usual: dict[str, object] = {
        "rates": [(0.0, rate), (seconds, rate)],
        "seconds": seconds,
        "cpu_seconds": 0.0,
        "client_retries": 0,
    }
    return World(list(steps), **{**usual, **changes})  # type: ignore[arg-type]


def erlang_b(servers: int, load: float) -> float:
    """Return the share of calls that find all servers busy in M/M/c/c (Erlang 1917), by the usual recursion."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


@pytest.mark.parametrize("spread", [1.0, 0.5, 0.0])
@pytest.mark.parametrize(("turns", "load"), [(48, 55), (10, 8)])
def test_a_full_task_refuses_as_erlangs_formula_says(turns: int, load: float, spread: float) -> None:
    """The formula holds for any distribution of the durations with the same mean (Sevastyanov 1957)."""
    found = simulate(world(Step("model", 4, works=False), rate=load / 4, turns_per_task=turns, spread=spread))
    assert found.share("refused") == pytest.approx(erlang_b(turns, load), rel=0.15, abs=0.003)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_work_waits_for_the_cpu_as_pollaczek_and_khinchine_say(load: float) -> None:
    """In M/D/1 the mean wait is s·u / 2(1 - u), for work of constant length s and a CPU used to the share u."""
    service = 0.1
    found = simulate(
        world(
            Step("work", 0), rate=load / service, cpu_seconds=service, turns_per_task=1000, seconds=2 * HOUR
        )
    )
    seconds = [each for minute in found.minutes for each in minute.seconds]
    wait = sum(seconds) / len(seconds) - service
    assert wait == pytest.approx(service * load / (2 * (1 - load)), rel=0.1)


def test_arrivals_are_poisson_and_follow_the_rate() -> None:
    found = simulate(world(Step("model", 0), rates=[(0.0, 0.0), (2 * HOUR, 10.0)], seconds=2 * HOUR))
    assert found.asked == pytest.approx(HOUR * 10, rel=0.02)
    for minute in found.minutes[10::10]:
        expected = 10 * (minute.at + 30) / (2 * HOUR) * 60
        assert abs(minute.asked - expected) < 5 * math.sqrt(expected)


def test_a_quota_lets_its_rate_through() -> None:
    """Twice the quota is asked for, once each: half is throttled, and with one more attempt nothing changes that."""
    quota = {"q": Bucket(5, 5)}
    step = Step("check", 0, [Call("q", 1, 1, "withheld")], works=False)
    for attempts in (1, 2):
        found = simulate(world(step, rate=10, buckets=quota, attempts=attempts, turns_per_task=1000))
        answered = sum(minute.answered for minute in found.minutes)
        assert answered / (2 * HOUR) == pytest.approx(5, rel=0.02)
        assert found.throttled["q"] > 0


def test_a_counter_that_grows_takes_more() -> None:
    """By hand: 10 calls of 5 s are 50 in progress, so that a change costs 2 units, and 40 units a second are too few
    only with it."""
    steps = [Step("reserve", 0, [Call("c", 1, 3)], works=False), Step("model", 5, works=False)]
    plain = simulate(world(*steps, rate=10, buckets={"c": Bucket(40, 40)}, turns_per_task=1000, seconds=HOUR))
    grown = simulate(
        world(
            *steps, rate=10, buckets={"c": Bucket(40, 40, grows_each=25)}, turns_per_task=1000, seconds=HOUR
        )
    )
    assert plain.share("refused") < 0.01 < 0.05 < grown.share("refused")


@pytest.mark.parametrize(("users", "rate", "median"), [(16, 5.8, 2.5), (64, 15.6, 2.7)])
def test_one_task_answers_what_make_load_measured(users: int, rate: float, median: float) -> None:
    """The slow model of `make load` (docs/load.md): fifteen seconds, the first answers after the first seconds."""
    found = simulate(
        world(
            Step("input", 0.05),
            Step("model", 0.8 + 30 * 0.05, works=False),
            Step("output", 0.05),
            closed=users,
            seconds=15,
            cpu_seconds=0.030,
            spread=0,
            client_retries=2,
        )
    )
    assert sum(minute.answered for minute in found.minutes) / 15 == pytest.approx(rate, rel=0.15)
    assert found.seconds(0.5) == pytest.approx(median, rel=0.15)


def test_more_people_than_room_share_it_by_the_real_pauses() -> None:
    """`Turns` spreads those whom it refuses over 25 attempts a second, so that those who obey make no more."""
    found = simulate(
        world(Step("model", 4, works=False), closed=400, seconds=600, spread=0, client_retries=2)
    )
    refused = [minute.attempts - minute.answered for minute in found.minutes[2:-1]]
    assert max(refused) / 60 < 26
    answered = sum(minute.answered for minute in found.minutes)
    assert answered / 600 == pytest.approx(48 / 4, rel=0.05)


def test_tasks_are_added_and_the_load_finds_room() -> None:
    found = simulate(
        world(
            Step("model", 4, works=False),
            rates=[(0.0, 5.0), (600.0, 5.0), (660.0, 40.0), (3600.0, 40.0)],
            seconds=3600,
            tasks=1,
            max_tasks=10,
            targets={"TurnsUnderWay": 28.8},
            client_retries=2,
        )
    )
    assert found.minutes[0].tasks == 1
    assert 6 <= found.tasks <= 10
    assert Outcome(found.minutes[12:16], {}).share("refused") > 0.1
    assert Outcome(found.minutes[-10:], {}).share("refused") < 0.001


def test_a_run_is_the_same_each_time() -> None:
    busy = world(Step("model", 4, works=False), rate=12, seconds=600)
    assert simulate(busy).minutes == simulate(busy).minutes


def test_a_world_survives_its_json() -> None:
    made = world(Step("check", 1, [Call("q", 2.0, 1.5, "withheld")]), rate=1, buckets={"q": Bucket(1, 2, 3)})
    again = World.from_json(made.to_json())
    assert again.to_json() == made.to_json()
    assert again.steps[0].calls[0] == Call("q", 2.0, 1.5, "withheld")
    assert again.buckets == made.buckets


def test_percentiles_of_a_list() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(100), 0.99) == 99
    assert math.isnan(percentile([], 0.5))
