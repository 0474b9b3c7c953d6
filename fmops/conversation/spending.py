"""A turn's spending: reserved when it is admitted and before each further model call, settled after each."""

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
    """A budget leaves no room for what was asked."""

    def __init__(self, refusal: Refusal, now: float) -> None:
        failure = refused(refusal, now)
        super().__init__(failure.message, failure)


class BudgetUnavailableError(AnswerFailedError):
    """The counters do not answer, and nothing is spent without them."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE.message, UNAVAILABLE)


class TurnBudgets:
    """The budgets, as the assistant draws on them: who pays, and what a model call can cost at most."""

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
        """``overhead`` says how many tokens the prompt and the tools take beside the conversation."""
        self.budgets = budgets
        self.model_id = model_id
        self.max_output_tokens = max_output_tokens
        self.overhead = overhead
        self._settings = settings
        self._pseudonyms = pseudonyms

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
    """The spending of one turn. The request counts once; each model call takes what it can cost at most, until it
    is over."""

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
        """The reservation of the model call that comes next. Raises ``AnswerFailedError``."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            return admitted
        if self._last is not None:
            # What the call before it did not need is there for this one.
            await self._budgets.settled(self._last)
        return await self._reserve(input_tokens, max_tokens)

    def settle(self, reservation: Reservation, usage: UsageMetadata | None) -> None:
        """End a call with the usage that the model reported. Without one, what was reserved is taken for spent."""
        self._end(reservation, spent(self._model_id, usage) if usage else reservation.amount)

    def give_back(self, reservation: Reservation) -> None:
        """End a call that cost nothing."""
        self._end(reservation, Amount())

    def keep(self) -> None:
        """Take what was admitted for spent, where nobody knows what the model reported."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            self.settle(admitted, None)

    def close(self) -> None:
        """Give back what was admitted for a model call that never came. The request stays counted."""
        if (admitted := self._admitted) is not None:
            self._admitted = None
            self.give_back(admitted)

    def headers(self) -> dict[str, str]:
        """Return headers that say how much is left beside what is reserved."""
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
