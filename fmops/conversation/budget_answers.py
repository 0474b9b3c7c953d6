"""Answers about budgets: OpenAI's error and headers, in words that a person understands."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from fmops.budgets import Counter, Refusal, Reservation, Scope, Unit, Window
from fmops.conversation.failures import RETRY_SECONDS, Failure

QUOTA, RATE = "insufficient_quota", "rate_limit_exceeded"
NO_RETRY = {"x-should-retry": "false"}
"""Headers that stop OpenAI's libraries from retrying, as they otherwise do after every 429 and 503."""
UNAVAILABLE = Failure(
    503,
    "budget_unavailable",
    "What has been spent cannot be counted at the moment, and nothing is spent uncounted: try again in a moment.",
    retry_after=RETRY_SECONDS,
    error_type="BudgetUnavailable",
)


class BudgetStatus(NamedTuple):
    """The state of one limit; ``used`` includes reserved amounts."""

    counter: Counter
    unit: Unit
    used: int

    @property
    def limit(self) -> int:
        return self.counter.limits[self.unit]

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


def standings(reservation: Reservation) -> list[BudgetStatus]:
    """Return the state of each limit when this was reserved."""
    return [
        BudgetStatus(hold.counter, unit, hold.used[unit])
        for hold in reservation.holds
        for unit in hold.counter.limits
    ]


def headers(stand: Iterable[BudgetStatus], now: float) -> dict[str, str]:
    """Return OpenAI's headers for the request and token limits with the least left, and ours for the caller's
    nearest budget.

    What is left of the deployment's budget is not for everyone to know.
    """
    found: dict[str, str] = {}
    known = list(stand)
    for unit in (Unit.REQUESTS, Unit.TOKENS):
        if of_unit := [each for each in known if each.unit is unit]:
            least = min(of_unit, key=lambda each: each.left)
            found[f"x-ratelimit-limit-{unit.value}"] = str(least.limit)
            found[f"x-ratelimit-remaining-{unit.value}"] = str(least.left)
            found[f"x-ratelimit-reset-{unit.value}"] = duration(least.counter.ends - now)
    own = [
        each
        for each in known
        if each.counter.window is not Window.MINUTE and each.counter.account.scope is not Scope.DEPLOYMENT
    ]
    if own:
        nearest = max(own, key=lambda each: each.used / each.limit)
        found["x-budget-name"] = _latin(f"{_whose(nearest.counter)} {_when(nearest.counter)}")
        found["x-budget-used-percent"] = str(min(100, math.ceil(100 * nearest.used / nearest.limit)))
        found["x-budget-reset"] = duration(nearest.counter.ends - now)
    return found


def refused(refusal: Refusal, now: float) -> Failure:
    """Return the answer when a budget leaves no room: when to come back, and not to retry before."""
    counter = refusal.counter
    rate = counter.window is Window.MINUTE
    told = headers([BudgetStatus(counter, refusal.unit, refusal.used)], now)
    return Failure(
        429,
        RATE if rate else QUOTA,
        message(refusal, now),
        kind=refusal.unit.value if rate else QUOTA,
        retry_after=max(1, math.ceil(counter.ends - now)),
        headers=told if rate and not refusal.fits_never else {**told, **NO_RETRY},
    )


def message(refusal: Refusal, now: float) -> str:
    """Return a message that says which budget is spent, and when it starts anew."""
    counter, unit = refusal.counter, refusal.unit
    if refusal.fits_never:
        most = f"{_amount(unit, refusal.limit)} {_per(counter.window)}"
        return (
            f"This may take up to {_amount(unit, refusal.needed)}, and {_whose(counter)} is {most}:"
            " shorten the conversation, or ask for less with max_tokens."
        )
    if counter.window is Window.MINUTE:
        what = _amount(unit, refusal.limit)
        return (
            f"{_sentence(_whose(counter))} of {what} a minute is used up: try again in "
            f"{seconds(counter.ends - now)}."
        )
    spent = f"{_sentence(_whose(counter))} {_when(counter)} is used up"
    return (
        f"{spent}: what is left is not enough for another answer. It starts anew at {_clock(counter.ends)}."
    )


def seconds(wait: float) -> str:
    """Format a short time in words."""
    whole = max(1, math.ceil(wait))
    return f"{whole} second{'s' if whole > 1 else ''}"


def duration(wait: float) -> str:
    """Format seconds as OpenAI's headers do: ``1s``, ``6m0s``, ``5h12m3s``."""
    whole = max(0, math.ceil(wait))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _whose(counter: Counter) -> str:
    account, kind = counter.account, "limit" if counter.window is Window.MINUTE else "budget"
    match account.scope:
        case Scope.USER:
            return f"your {kind}"
        case Scope.TEAM:
            return f"the {kind} of your team {account.name}"
        case _:
            return f"the {kind} of this assistant"


def _when(counter: Counter) -> str:
    return "for today" if counter.window is Window.DAY else "for this month"


def _per(window: Window) -> str:
    return f"a {window.value}"


def _amount(unit: Unit, amount: int) -> str:
    match unit:
        case Unit.MONEY:
            return f"{amount / 1e6:.2f} USD" if amount >= 10_000 else f"{amount / 1e6:g} USD"
        case _:
            return f"{amount:,} {unit.value if amount != 1 else unit.value[:-1]}"


def _clock(at: float) -> str:
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%H:%M} UTC on {when.day} {when:%B %Y}"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _latin(text: str) -> str:
    """Return the text in printable ASCII, the only characters that a header may hold; a team's name may hold
    others."""
    return "".join(each if " " <= each <= "~" else "?" for each in text)
