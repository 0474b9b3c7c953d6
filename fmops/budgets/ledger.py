"""Reserves and settles over all budgets of a turn, beside the event loop, and says how much of them is spent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from fmops.budgets.accounts import Account, Scope
from fmops.budgets.amounts import Amount, Unit
from fmops.budgets.counters import HOLD_SECONDS, Counter, CounterTable, Hold, QueueFullError, Refusal
from fmops.budgets.windows import Window
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

THREADS = 16
FAILURES = 3
"""After so many without an answer in between, DynamoDB is not asked for a while: nobody waits for what does not
come."""
PAUSE_SECONDS = 5.0
DRAIN_SECONDS = 5.0
"""Which a stop waits for settlements; a reservation that is not settled expires."""
UNSETTLED = 10_000
"""Settlements that are kept while DynamoDB is away; of more, the oldest reservations expire."""

_log = logging.getLogger(__name__)

_AWAY = (ClientError, BotoCoreError)
T = TypeVar("T")


class BudgetExceeded(Exception):  # noqa: N818 - an answer, not a fault
    """A budget leaves no room."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("a budget leaves no room")
        self.refusal = refusal


class CountersUnavailable(Exception):  # noqa: N818 - as above
    """DynamoDB does not answer, and nothing is spent without it."""


@dataclass
class Reservation:
    """A reservation in each counter. Settle it once, however the call ends."""

    amount: Amount
    holds: list[Hold] = field(default_factory=list)
    uncertain: list[Hold] = field(default_factory=list)
    """Reservations in counters that did not answer and may have taken them: what is spent is added there later."""
    settled: Future[None] | None = None


class Budgets:
    """The budgets of a deployment. ``reserve`` is for the event loop; ``settle`` may be called from anywhere."""

    def __init__(
        self,
        table: CounterTable,
        *,
        when_unavailable: Literal["refuse", "allow"] = "refuse",
        clock: Callable[[], float] = time.time,
        threads: int = THREADS,
    ) -> None:
        self._table = table
        self._allow = when_unavailable == "allow"
        self._clock = clock
        self._threads = ThreadPoolExecutor(threads, "budgets")
        self._settling: set[Future[None]] = set()
        self._unsettled: deque[tuple[Reservation, Amount]] = deque(maxlen=UNSETTLED)
        self._failures, self._ask_again = 0, 0.0
        self._spent: dict[tuple[Scope, Window, Unit], tuple[float, float]] = {}
        instruments().watch_budgets(self)

    async def reserve(self, accounts: Sequence[Account], amount: Amount) -> Reservation:
        """Take ``amount`` from every account, or from none.

        Raises ``BudgetExceeded``, and ``CountersUnavailable`` where the settings refuse then.
        """
        if not accounts:
            return Reservation(amount)
        future = self._threads.submit(self.reserve_sync, accounts, amount)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # The thread goes on, and nobody would ever settle what it reserves.
            future.add_done_callback(self._give_back)
            raise

    def reserve_sync(self, accounts: Sequence[Account], amount: Amount) -> Reservation:
        """Reserve in a thread that may wait, narrow budgets first: who has spent their own holds nothing of others'."""
        now, reservation = self._clock(), Reservation(amount)
        name = token_urlsafe(6)
        for account in accounts:
            for window in account.limits:
                counter = Counter(account, window, window.period(now), window.end(now))
                try:
                    held = self._asked(self._table.reserve, counter, name, amount, now)
                except QueueFullError as full:
                    self.settle(reservation, Amount())
                    self._refused(full.refusal)
                    raise BudgetExceeded(full.refusal) from None
                except (*_AWAY, CountersUnavailable) as error:
                    # It may have been applied all the same.
                    reservation.uncertain.append(Hold(counter, name, amount, int(now) + HOLD_SECONDS))
                    self._unavailable(error)
                    if not self._allow:
                        self.settle(reservation, Amount())
                        raise CountersUnavailable from None
                else:
                    reservation.holds.append(held)
                    self._note(counter, held.used)
        self._try_again()
        return reservation

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Put what was spent in the place of what was reserved, beside whatever goes on. A second call does nothing."""
        if reservation.settled is not None or not (reservation.holds or reservation.uncertain):
            return
        try:
            future = self._threads.submit(self._settle, reservation, actual)
        except RuntimeError:  # It was closed: the reservation expires.
            instruments().budget_settlements.add(1, {names.BUDGET_RESULT: "failed"})
            return
        reservation.settled = future
        self._settling.add(future)
        future.add_done_callback(self._settling.discard)

    async def settled(self, reservation: Reservation) -> None:
        """Wait until a reservation is settled, if that is under way."""
        if reservation.settled is not None:
            await asyncio.wait((asyncio.wrap_future(reservation.settled),))

    def now(self) -> float:
        return self._clock()

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait for the settlements under way."""
        if under_way := list(self._settling):
            await asyncio.to_thread(wait, under_way, seconds)

    async def close(self) -> None:
        """Settle what is under way, for a while."""
        await self.drain()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def spent(self) -> Iterable[tuple[str, str, str, float]]:
        """Scope, window, unit and share of the limit that is spent: of the user and the team that are nearest to
        theirs."""
        now = self._clock()
        for (scope, window, unit), (share, ends) in list(self._spent.items()):
            yield scope.value, window.value, unit.label, share if now < ends else 0.0

    def _settle(self, reservation: Reservation, actual: Amount) -> None:
        left = Reservation(reservation.amount)
        for holds, end, unsettled in (
            (reservation.holds, self._table.settle, left.holds),
            (reservation.uncertain, self._table.settle_uncertain, left.uncertain),
        ):
            for hold in holds:
                try:
                    used = self._asked(end, hold, actual, self._clock())
                except (*_AWAY, CountersUnavailable) as error:
                    unsettled.append(hold)
                    _log.warning("a reservation is not settled yet: %s", type(error).__name__)
                else:
                    self._note(hold.counter, used)
        if left.holds or left.uncertain:
            self._unsettled.append((left, actual))
        result = "postponed" if left.holds or left.uncertain else "settled"
        instruments().budget_settlements.add(1, {names.BUDGET_RESULT: result})

    def _try_again(self) -> None:
        """Settle, now that DynamoDB answers, two of what could not be: those who ask next settle the rest."""
        for _ in range(min(2, len(self._unsettled))):
            with suppress(IndexError):
                self.settle(*self._unsettled.popleft())

    def _asked(self, ask: Callable[..., T], *arguments: Any) -> T:
        """Ask DynamoDB, unless it has not answered lately."""
        if self._failures >= FAILURES and time.monotonic() < self._ask_again:
            raise CountersUnavailable
        try:
            answer = ask(*arguments)
        except _AWAY as error:
            # What is refused is refused at once, and may be about one counter, as when that is throttled.
            if not _is_refused(error):
                self._failures += 1
                self._ask_again = time.monotonic() + PAUSE_SECONDS
            raise
        except QueueFullError:
            self._failures = 0
            raise
        self._failures = 0
        return answer

    def _give_back(self, future: Future[Reservation]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.settle(future.result(), Amount())

    def _note(self, counter: Counter, used: Mapping[Unit, int]) -> None:
        """Keep the share that is spent: the deployment's is exact, of users and teams the largest is kept."""
        for unit, limit in counter.limits.items():
            key = (counter.account.scope, counter.window, unit)
            share, before = used[unit] / limit, self._spent.get(key, (0.0, 0.0))
            if counter.account.scope is not Scope.DEPLOYMENT and before[1] == counter.ends:
                share = max(share, before[0])
            if counter.ends >= before[1]:
                self._spent[key] = share, counter.ends

    def _refused(self, refusal: Refusal) -> None:
        counter = refusal.counter
        instruments().budget_refusals.add(
            1,
            {
                names.BUDGET_SCOPE: counter.account.scope.value,
                names.BUDGET_WINDOW: counter.window.value,
                names.BUDGET_UNIT: refusal.unit.label,
            },
        )

    def _unavailable(self, error: Exception) -> None:
        action = "allow" if self._allow else "refuse"
        instruments().budget_unavailable.add(1, {names.BUDGET_ACTION: action})
        _log.warning("budgets are not counted (%s): %s", action, type(error).__name__)


def _is_refused(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status < 500
