"""The ledger: it reserves and settles amounts in all budgets of a turn, outside the event loop, and reports
what is spent."""

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
"""Number of failures in a row after which DynamoDB is not called for a while, so that no one waits in vain.
"""
PAUSE_SECONDS = 5.0
DRAIN_SECONDS = 5.0
"""Seconds that a stop waits for settlements; a reservation that is not settled expires."""
UNSETTLED = 10_000
"""Maximum settlements that are kept while DynamoDB is unavailable; beyond it, the oldest reservations are left
to expire."""

_log = logging.getLogger(__name__)

_AWAY = (ClientError, BotoCoreError)
T = TypeVar("T")


class BudgetExceeded(Exception):  # noqa: N818 - an answer, not a fault
    """A budget leaves no room."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("a budget leaves no room")
        self.refusal = refusal


class CountersUnavailable(Exception):  # noqa: N818 - as above
    """DynamoDB does not answer, and nothing may be spent without it."""


@dataclass
class Reservation:
    """A reservation in each counter. Settle it once, however the call ends."""

    amount: Amount
    holds: list[Hold] = field(default_factory=list)
    uncertain: list[Hold] = field(default_factory=list)
    """Reservations in counters that did not answer and may have made them: the amount spent is added there
    later.
    """
    settled: Future[None] | None = None


class Budgets:
    """The budgets of a deployment. Call ``reserve`` in the event loop; ``settle`` may be called from any
    thread.
    """

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

    def greet(self) -> None:
        """Reach the counters once, before the first reservation."""
        self._table.greet()

    async def reserve(self, accounts: Sequence[Account], amount: Amount) -> Reservation:
        """Take ``amount`` from every account, or from none.

        Raises ``BudgetExceeded``, and ``CountersUnavailable`` if the settings refuse when DynamoDB is
        unavailable.
        """
        if not accounts:
            return Reservation(amount)
        future = self._threads.submit(self.reserve_sync, accounts, amount)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # The thread continues, and no one else would settle what it reserves.
            future.add_done_callback(self._give_back)
            raise

    def reserve_sync(self, accounts: Sequence[Account], amount: Amount) -> Reservation:
        """Reserve in a thread that may wait, narrowest budgets first, so that people who have spent their own
        budget hold none of others'."""
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
                    # The reservation may still have been applied.
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
        """Replace the reserved amount with the amount spent, in the background. A second call does nothing."""
        if reservation.settled is not None or not (reservation.holds or reservation.uncertain):
            return
        try:
            future = self._threads.submit(self._settle, reservation, actual)
        except RuntimeError:  # the pool is closed, so the reservation expires
            instruments().budget_settlements.add(1, {names.BUDGET_RESULT: "failed"})
            return
        reservation.settled = future
        self._settling.add(future)
        future.add_done_callback(self._settling.discard)

    async def settled(self, reservation: Reservation) -> None:
        """Wait until a reservation is settled, if a settlement is in progress."""
        if reservation.settled is not None:
            await asyncio.wait((asyncio.wrap_future(reservation.settled),))

    def now(self) -> float:
        return self._clock()

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait up to ``seconds`` for the settlements in progress."""
        if under_way := list(self._settling):
            await asyncio.to_thread(wait, under_way, seconds)

    async def close(self) -> None:
        """Finish the settlements in progress, within a limited time."""
        await self.drain()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def spent(self) -> Iterable[tuple[str, str, str, float]]:
        """Yield (scope, window, unit, share of the limit spent), for the user and the team closest to their
        limits."""
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
        """Settle two postponed reservations, now that DynamoDB answers; later callers settle the rest."""
        for _ in range(min(2, len(self._unsettled))):
            with suppress(IndexError):
                self.settle(*self._unsettled.popleft())

    def _asked(self, ask: Callable[..., T], *arguments: Any) -> T:
        """Call DynamoDB, unless it has failed to answer lately."""
        if self._failures >= FAILURES and time.monotonic() < self._ask_again:
            raise CountersUnavailable
        try:
            answer = ask(*arguments)
        except _AWAY as error:
            # A refusal comes at once and may concern a single counter, such as one that is throttled.
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
        """Record the share that is spent: exact for the deployment, the largest so far for users and teams."""
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
