"""Spending of a turn: reserved when it is admitted and before each further model call, settled after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain_core.messages.ai import UsageMetadata

from fmops.budgets import (
    Account,
    Amount,
    BudgetExceeded,
    Budgets,
    BudgetSettings,
    CountersUnavailable,
    Refusal,
    Reservation,
    accounts,
)
from fmops.budgets.amounts import at_most, estimated_tokens, spent
from fmops.conversation.budget_answers import UNAVAILABLE, headers, refused, standings
from fmops.conversation.failures import AnswerFailedError
from fmops.identity.tokens import Principal, Pseudonyms


class BudgetExceededError(AnswerFailedError):
    """A budget leaves no room for the request."""

    def __init__(self, refusal: Refusal, now: float) -> None:
        failure = refused(refusal, now)
        super().__init__(failure.message, failure)


class BudgetUnavailableError(AnswerFailedError):
    """The counters do not answer, and nothing may be spent without them."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE.message, UNAVAILABLE)


class TurnBudgets:
    """The budgets as the assistant uses them: who pays, and the maximum cost of a model call."""

    def __init__(
        self,
        budgets: Budgets,
        settings: BudgetSettings,
        pseudonyms: Pseudonyms,
        *,
        model_id: str,
        max_output_tokens: int,
        overhead: Callable[[], int] = lambda: 0,
    ) -> None:
        """Set up the budgets. ``overhead`` returns the tokens that the prompt and the tools take beside the
        conversation."""
        self.budgets = budgets
        self.model_id = model_id
        self.max_output_tokens = max_output_tokens
        self.overhead = overhead
        self._settings = settings
        self._pseudonyms = pseudonyms

    def greet(self) -> None:
        """Reach the counters once, before the first turn."""
        self.budgets.greet()

    def open(self, principal: Principal, model_id: str = "") -> Spending:
        """Return the spending of a turn of this person."""
        teams = {name: self._pseudonyms.team(name) for name in self._teams(principal)}
        paying = accounts(self._settings, self._pseudonyms.user(principal.subject), teams)
        return Spending(self, paying, model_id or self.model_id)

    def _teams(self, principal: Principal) -> list[str]:
        if not self._settings.team_claim:
            return sorted(principal.groups)
        claim = principal.claims.get(self._settings.team_claim)
        named = claim if isinstance(claim, list) else [claim]
        return sorted({str(name) for name in named if isinstance(name, str | int) and name != ""})


class Spending:
    """The spending of one turn. The request counts once; each model call reserves its maximum cost until it is
    over."""

    def __init__(self, turn_budgets: TurnBudgets, paying: Sequence[Account], model_id: str) -> None:
        self._turn_budgets, self._budgets = turn_budgets, turn_budgets.budgets
        self._paying = paying
        self._model_id = model_id
        self._admitted: Reservation | None = None
        self._last: Reservation | None = None

    async def admit(self, texts: Sequence[str], max_tokens: int | None = None) -> None:
        """Reserve the request and its first model call. Raises ``AnswerFailedError``."""
        self._admitted = await self._reserve(
            estimated_tokens(texts) + self._turn_budgets.overhead(), max_tokens
        )

    async def call(self, input_tokens: int, max_tokens: int | None = None) -> Reservation:
        """Return the reservation of the next model call. Raises ``AnswerFailedError``."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            return admitted
        if self._last is not None:
            # What the previous call did not need is available to this one.
            await self._budgets.settled(self._last)
        return await self._reserve(input_tokens, max_tokens)

    def settle(self, reservation: Reservation, usage: UsageMetadata | None) -> None:
        """End a call with the usage that the model reported. Without one, the reserved amount counts as
        spent.
        """
        self._end(reservation, spent(self._model_id, usage) if usage else reservation.amount)

    def give_back(self, reservation: Reservation) -> None:
        """End a call that cost nothing."""
        self._end(reservation, Amount())

    def keep(self) -> None:
        """Count the admitted amount as spent when the model's usage is unknown."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            self.settle(admitted, None)

    def close(self) -> None:
        """Give back what was reserved for a model call that never came. The request stays counted."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            self.give_back(admitted)

    def headers(self) -> dict[str, str]:
        """Return headers that say how much is left after reservations."""
        reserved = self._admitted or self._last
        return headers(standings(reserved), self._budgets.now()) if reserved else {}

    def _end(self, reservation: Reservation, actual: Amount) -> None:
        requests = reservation.amount.requests
        self._budgets.settle(reservation, Amount(requests, actual.tokens, actual.micro_usd))

    async def _reserve(self, input_tokens: int, max_tokens: int | None) -> Reservation:
        most = self._turn_budgets.max_output_tokens
        amount = at_most(self._model_id, input_tokens, min(max_tokens or most, most))
        request = Amount(requests=0 if self._last else 1)
        try:
            self._last = await self._budgets.reserve(self._paying, amount + request)
        except BudgetExceeded as full:
            raise BudgetExceededError(full.refusal, self._budgets.now()) from None
        except CountersUnavailable:
            raise BudgetUnavailableError from None
        return self._last
