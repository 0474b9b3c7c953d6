"""Reservations never exceed a limit, settle to what was spent, and count once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from fmops.budgets import (
    Account,
    Amount,
    BudgetExceeded,
    Budgets,
    BudgetSettings,
    CountersUnavailable,
    CounterTable,
    Limits,
    Reservation,
    Scope,
    Unit,
    Window,
    accounts,
)
from fmops.budgets.counters import HOLD_SECONDS, SKEW_SECONDS
from fmops.budgets.ledger import FAILURES
from tests.budgets.table import NAME, NOON, Clock, Table

DAY, MONTH, MINUTE = "2026-11-28", "2026-11", "2026-11-28T12:00"
CALL = Amount(requests=1, tokens=100, micro_usd=1_000)


@pytest.fixture(autouse=True, scope="module")
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def budgets(table: Table, clock: Clock | None = None, **options: object) -> Budgets:
    return Budgets(CounterTable(table, NAME), clock=clock or Clock(), **options)  # type: ignore[arg-type]


def deployment(**limits: float) -> list[Account]:
    return accounts(BudgetSettings(deployment=Limits(**limits)), "u", {})  # type: ignore[arg-type]


async def test_what_is_reserved_counts_and_what_is_spent_takes_its_place() -> None:
    table, mine = Table(), deployment(usd_per_month=1)
    it = budgets(table)
    reservation = await it.reserve(mine, CALL)
    assert table.used("deployment", MONTH) == {Unit.REQUESTS: 1, Unit.TOKENS: 100, Unit.MONEY: 1_000}
    it.settle(reservation, Amount(1, 70, 400))
    it.settle(reservation, Amount(1, 99, 999))
    await it.drain()
    assert table.used("deployment", MONTH) == {Unit.REQUESTS: 1, Unit.TOKENS: 70, Unit.MONEY: 400}
    assert table.holds() == 0


async def test_a_hundred_at_once_never_exceed_the_limit() -> None:
    table = Table()
    it = budgets(table)
    mine = deployment(tokens_per_minute=3_750)
    found = await asyncio.gather(*(it.reserve(mine, CALL) for _ in range(100)), return_exceptions=True)
    taken = [each for each in found if isinstance(each, Reservation)]
    assert len(taken) == 37
    assert sum(isinstance(each, BudgetExceeded) for each in found) == 63
    assert table.used("deployment", MINUTE)[Unit.TOKENS] == 3_700
    for each in taken:
        it.settle(each, Amount(1, 10, 5))
    await it.drain()
    assert table.used("deployment", MINUTE) == {Unit.REQUESTS: 37, Unit.TOKENS: 370, Unit.MONEY: 185}


async def test_who_is_refused_holds_nothing_of_other_budgets() -> None:
    table = Table()
    it = budgets(table)
    settings = BudgetSettings(
        user=Limits(requests_per_minute=2),
        team=Limits(tokens_per_day=10_000),
        deployment=Limits(usd_per_month=9),
    )
    mine = accounts(settings, "u", {"desk": "t"})
    assert [each.scope for each in mine] == [Scope.USER, Scope.TEAM, Scope.DEPLOYMENT]
    for _ in range(2):
        await it.reserve(mine, CALL)
    for _ in range(5):
        with pytest.raises(BudgetExceeded) as refused:
            await it.reserve(mine, CALL)
        assert (refused.value.refusal.unit, refused.value.refusal.used) == (Unit.REQUESTS, 2)
    await it.drain()
    assert table.used("team#t", DAY)[Unit.TOKENS] == 200
    assert table.used("deployment", MONTH)[Unit.MONEY] == 2_000


async def test_a_wider_budget_that_is_spent_gives_the_narrower_ones_back() -> None:
    table = Table()
    it = budgets(table)
    settings = BudgetSettings(user=Limits(tokens_per_day=10_000), deployment=Limits(usd_per_month=0.0015))
    mine = accounts(settings, "u", {})
    await it.reserve(mine, CALL)
    with pytest.raises(BudgetExceeded) as refused:
        await it.reserve(mine, CALL)
    assert refused.value.refusal.counter.account.scope is Scope.DEPLOYMENT
    await it.drain()
    assert table.used("user#u", DAY)[Unit.TOKENS] == 100
    assert table.holds() == 2


async def test_a_request_that_needs_more_than_the_limit_is_refused_on_an_empty_counter() -> None:
    table = Table()
    it = budgets(table)
    with pytest.raises(BudgetExceeded) as refused:
        await it.reserve(deployment(tokens_per_minute=99), CALL)
    assert refused.value.refusal.fits_never
    assert table.items() == {}


async def test_what_costs_nothing_has_room_when_all_is_spent() -> None:
    table = Table()
    it = budgets(table)
    mine = deployment(requests_per_minute=1, tokens_per_minute=1_000)
    await it.reserve(mine, CALL)
    second_call_of_the_turn = Amount(requests=0, tokens=100, micro_usd=1)
    await it.reserve(mine, second_call_of_the_turn)
    assert table.used("deployment", MINUTE)[Unit.TOKENS] == 200


@pytest.mark.parametrize(
    ("window", "limits", "at", "reset"),
    [
        (Window.MINUTE, {"requests_per_minute": 1}, NOON + 59.9, NOON + 60),
        (Window.DAY, {"tokens_per_day": 100}, NOON + 11.99 * 3600, NOON + 12 * 3600),
        (Window.MONTH, {"usd_per_month": 0.001}, NOON, 1_796_083_200.0),
    ],
)
async def test_a_window_starts_anew_by_itself(
    window: Window, limits: dict[str, float], at: float, reset: float
) -> None:
    clock = Clock(at)
    it = budgets(Table(), clock)
    await it.reserve(deployment(**limits), CALL)
    with pytest.raises(BudgetExceeded) as refused:
        await it.reserve(deployment(**limits), CALL)
    assert (refused.value.refusal.counter.window, refused.value.refusal.counter.ends) == (window, reset)
    clock.now = reset
    await it.reserve(deployment(**limits), CALL)


async def test_a_call_over_the_end_of_a_window_is_settled_in_the_window_that_it_began_in() -> None:
    table, clock = Table(), Clock(NOON + 59)
    it = budgets(table, clock)
    reservation = await it.reserve(deployment(tokens_per_minute=100), CALL)
    clock.now += 5
    it.settle(reservation, Amount(1, 60, 1))
    await it.drain()
    assert table.used("deployment", MINUTE)[Unit.TOKENS] == 60
    assert table.used("deployment", "2026-11-28T12:01")[Unit.TOKENS] == 0


async def test_the_reservation_of_a_process_that_died_expires() -> None:
    table, clock = Table(), Clock()
    mine = deployment(tokens_per_day=150)
    await budgets(table, clock).reserve(mine, CALL)
    survivor = budgets(table, clock)
    clock.now += HOLD_SECONDS + SKEW_SECONDS
    with pytest.raises(BudgetExceeded):
        await survivor.reserve(mine, CALL)
    clock.now += 1
    await survivor.reserve(mine, CALL)
    assert table.used("deployment", DAY)[Unit.TOKENS] == 100
    assert table.holds() == 1


async def test_many_reservations_of_dead_processes_expire_at_once() -> None:
    table, clock = Table(), Clock()
    mine = deployment(tokens_per_day=10_000)
    it = budgets(table, clock)
    await asyncio.gather(*(it.reserve(mine, CALL) for _ in range(100)))
    clock.now += HOLD_SECONDS + SKEW_SECONDS + 1
    found = await asyncio.gather(*(it.reserve(mine, CALL) for _ in range(100)))
    assert len(found) == 100
    await it.reserve(mine, Amount())
    assert table.used("deployment", DAY)[Unit.TOKENS] == 10_000
    assert table.holds() == 101


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
async def test_a_call_that_outlives_its_reservation_is_counted_once(dropped: bool, repeated: bool) -> None:
    table, clock = Table(), Clock()
    mine, it = deployment(tokens_per_day=1_000), budgets(table, clock)
    reservation = await it.reserve(mine, CALL)
    clock.now += HOLD_SECONDS + SKEW_SECONDS + 1
    if dropped:
        await it.reserve(mine, Amount())
        assert table.used("deployment", DAY)[Unit.TOKENS] == 0
    if repeated:
        (hold,) = reservation.holds
        CounterTable(table, NAME).settle(hold, Amount(1, 42, 7), clock())
    it.settle(reservation, Amount(1, 42, 7))
    await it.drain()
    assert table.used("deployment", DAY) == {Unit.REQUESTS: 1, Unit.TOKENS: 42, Unit.MONEY: 7}


async def test_a_caller_who_leaves_while_it_is_reserved_reserves_nothing() -> None:
    table = Table()
    it, began, go, given_back = budgets(table), threading.Event(), threading.Event(), threading.Event()
    reserve, settle = it.reserve_sync, it.settle

    def slow(*arguments: Any) -> Reservation:
        began.set()
        go.wait(20)
        return reserve(*arguments)

    def settled(*arguments: Any) -> None:
        settle(*arguments)
        given_back.set()

    it.reserve_sync, it.settle = slow, settled  # type: ignore[method-assign]
    task = asyncio.create_task(it.reserve(deployment(tokens_per_day=1_000), CALL))
    assert await asyncio.to_thread(began.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.to_thread(given_back.wait, 20)
    await it.drain()
    assert table.calls["asked"] == 2
    assert table.used("deployment", DAY)[Unit.TOKENS] == 0


@pytest.mark.parametrize("when", ["refuse", "allow"])
async def test_a_setting_says_what_happens_while_the_counters_are_away(when: str) -> None:
    table = Table(away=True)
    it = budgets(table, when_unavailable=when)
    mine = deployment(tokens_per_day=1_000)
    if when == "refuse":
        with pytest.raises(CountersUnavailable):
            await it.reserve(mine, CALL)
        return
    reservation = await it.reserve(mine, CALL)
    it.settle(reservation, Amount(1, 42, 7))
    await it.drain()
    table.away = False
    it._ask_again = 0
    another = await it.reserve(mine, CALL)
    it.settle(another, Amount(1, 1, 1))
    await it.drain()
    assert table.used("deployment", DAY) == {Unit.REQUESTS: 2, Unit.TOKENS: 43, Unit.MONEY: 8}


async def test_counters_that_do_not_answer_are_not_asked_each_time() -> None:
    table = Table(away=True)
    it = budgets(table)
    for _ in range(50):
        with pytest.raises(CountersUnavailable):
            await it.reserve(deployment(tokens_per_day=1_000), CALL)
    await it.drain()
    assert table.calls["asked"] <= 2 * FAILURES


@pytest.mark.parametrize(("status", "asked"), [(400, 50), (500, FAILURES)])
async def test_a_counter_that_is_throttled_does_not_stop_the_others(status: int, asked: int) -> None:
    class Throttled:
        calls = 0

        def update_item(self, **_: Any) -> Any:
            self.calls += 1
            details = {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(details, "UpdateItem")

    table = Throttled()
    it = Budgets(CounterTable(table, NAME), clock=Clock())
    it.settle = lambda *_: None  # type: ignore[method-assign] # what it asks is not counted here
    for _ in range(50):
        with pytest.raises(CountersUnavailable):
            await it.reserve(deployment(tokens_per_day=1_000), CALL)
    assert table.calls == asked


class Book:
    """An independent ledger: a list of what is open and what was spent, added up anew each time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open: dict[int, int] = {}
        self.closed: list[int] = []

    def fits(self, tokens: int) -> bool:
        return sum(self.open.values()) + sum(self.closed) + tokens <= self.limit


@pytest.mark.parametrize("seed", range(3))
async def test_the_arithmetic_agrees_with_a_simulation(seed: int) -> None:
    """Compare reservations one after another, of three scopes and random sizes: refusals and sums must
    be the same."""
    chance = random.Random(seed)
    table, it = Table(), None
    it = budgets(table)
    users = ["a", "b", "c"]
    settings = BudgetSettings(
        user=Limits(tokens_per_day=3_000),
        team=Limits(tokens_per_day=5_000),
        deployment=Limits(tokens_per_day=7_000),
    )
    books = {key: Book(3_000) for key in ("user#a", "user#b", "user#c")}
    books |= {"team#red": Book(5_000), "team#blue": Book(5_000), "deployment": Book(7_000)}
    teams = {"a": ["red"], "b": ["red", "blue"], "c": []}
    under_way: list[tuple[Reservation, list[str], int]] = []
    refused = 0
    for number in range(120):
        if under_way and chance.random() < 0.45:
            reservation, keys, opened = under_way.pop(chance.randrange(len(under_way)))
            actual = chance.randrange(0, 500)
            it.settle(reservation, Amount(tokens=actual))
            await it.drain()
            for key in keys:
                del books[key].open[opened]
                books[key].closed.append(actual)
            continue
        user, tokens = chance.choice(users), chance.randrange(1, 900)
        mine = accounts(settings, user, {team: team for team in teams[user]})
        keys = [each.key for each in mine]
        fits = all(books[key].fits(tokens) for key in keys)
        try:
            reservation = await it.reserve(mine, Amount(tokens=tokens))
        except BudgetExceeded:
            refused += 1
            await it.drain()
            assert not fits
            continue
        assert fits
        for key in keys:
            books[key].open[number] = tokens
        under_way.append((reservation, keys, number))
    assert refused > 10
    for key, book in books.items():
        assert table.used(key, DAY)[Unit.TOKENS] == sum(book.open.values()) + sum(book.closed), key


@pytest.mark.parametrize("seed", range(2))
async def test_lost_requests_and_answers_count_nothing_twice(seed: int) -> None:
    """Run concurrent calls and lose a third of them on the way there or back: the sum is exactly what was
    spent.
    """
    table = Table(loses=0.3, seed=seed)
    it = budgets(table, when_unavailable="allow")
    it._asked = lambda ask, *arguments: ask(*arguments)  # type: ignore[method-assign] # without its pause
    mine = deployment(tokens_per_day=10**9)
    chance = random.Random(seed)
    spent = [chance.randrange(0, 200) for _ in range(60)]

    async def turn(tokens: int) -> None:
        reservation = await it.reserve(mine, CALL)
        it.settle(reservation, Amount(1, tokens, 3))

    await asyncio.gather(*(turn(tokens) for tokens in spent))
    await it.drain()
    assert table.calls["answer lost"] > 5 and table.calls["never arrived"] > 5
    table.loses = 0
    while it._unsettled:
        it._try_again()
        await it.drain()
    assert table.used("deployment", DAY) == {Unit.REQUESTS: 60, Unit.TOKENS: sum(spent), Unit.MONEY: 180}


@pytest.mark.parametrize("seed", range(3))
async def test_with_time_and_deaths_the_arithmetic_agrees_with_a_simulation(seed: int) -> None:
    """Let time pass, calls outlive their reservations, and processes never settle: refusals are the same
    at every step."""
    chance = random.Random(seed)
    table, clock = Table(), Clock()
    it = budgets(table, clock)
    mine = deployment(tokens_per_minute=2_000, tokens_per_day=9_000)
    open_: dict[int, tuple[int, float]] = {}
    """Tokens and time of each reservation that nobody has settled."""
    spent: list[tuple[int, float]] = []
    """Tokens, and the time of the reservation that they were settled for."""
    under_way: dict[int, Reservation] = {}
    outcomes = {"reserved": 0, "refused": 0, "settled": 0, "settled late": 0, "died": 0}

    def counted(seconds: int) -> int:
        held = [
            (tokens, at)
            for tokens, at in open_.values()
            if clock.now <= int(at) + HOLD_SECONDS + SKEW_SECONDS
        ]
        return sum(tokens for tokens, at in [*held, *spent] if at // seconds == clock.now // seconds)

    for number in range(150):
        clock.now += chance.choice([0.5, 3, 20, 70, 400, 1_200])
        step = chance.random()
        if under_way and step < 0.4:
            chosen = chance.choice(list(under_way))
            reservation, (_, at) = under_way.pop(chosen), open_.pop(chosen)
            outcomes["settled late" if clock.now > at + HOLD_SECONDS else "settled"] += 1
            actual = chance.randrange(0, 300)
            it.settle(reservation, Amount(tokens=actual))
            await it.drain()
            spent.append((actual, at))
        elif under_way and step < 0.5:
            under_way.pop(chance.choice(list(under_way)))
            outcomes["died"] += 1
        else:
            tokens = chance.randrange(1, 1_200)
            fits = counted(60) + tokens <= 2_000 and counted(86_400) + tokens <= 9_000
            try:
                under_way[number] = await it.reserve(mine, Amount(tokens=tokens))
            except BudgetExceeded:
                outcomes["refused"] += 1
                await it.drain()
                assert not fits, number
            else:
                outcomes["reserved"] += 1
                assert fits, number
                open_[number] = (tokens, clock.now)
    assert all(outcomes.values()), outcomes
    while (await it.reserve(deployment(tokens_per_day=10**9), Amount())).holds[0].used[
        Unit.TOKENS
    ] != counted(86_400):
        assert table.holds() > len(under_way)
