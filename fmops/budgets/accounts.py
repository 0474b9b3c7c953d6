"""Accounts that a turn draws on, from the narrowest to the widest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fmops.budgets.amounts import MICRO, Unit
from fmops.budgets.settings import BudgetSettings, Limits
from fmops.budgets.windows import Window


class Scope(StrEnum):
    """The people who share a budget."""

    USER = "user"
    TEAM = "team"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True)
class Account:
    """One budget: its owner, and its limits by window and unit."""

    scope: Scope
    key: str
    """Key of the account's counters: the scope and a pseudonym."""
    limits: Mapping[Window, Mapping[Unit, int]]
    name: str = ""
    """Name of a team as the token gives it, used only in messages to its members."""


def accounts(settings: BudgetSettings, user: str, teams: Mapping[str, str]) -> list[Account]:
    """Return the limited accounts of one person: ``user`` is a pseudonym, and ``teams`` maps names to
    pseudonyms.
    """
    found = [
        Account(Scope.USER, f"user#{user}", windows(settings.user)),
        *(
            Account(Scope.TEAM, f"team#{teams[name]}", windows(settings.teams.get(name, settings.team)), name)
            for name in sorted(teams)
        ),
        Account(Scope.DEPLOYMENT, "deployment", windows(settings.deployment)),
    ]
    return [account for account in found if account.limits]


def windows(limits: Limits) -> dict[Window, dict[Unit, int]]:
    """Return the limits that are set, by window and unit."""
    found: dict[Window, dict[Unit, int]] = {}
    for window, unit, most in _limits(limits):
        if most is not None:
            found.setdefault(window, {})[unit] = most
    return found


def _limits(limits: Limits) -> Iterator[tuple[Window, Unit, int | None]]:
    yield Window.MINUTE, Unit.REQUESTS, limits.requests_per_minute
    yield Window.MINUTE, Unit.TOKENS, limits.tokens_per_minute
    yield Window.DAY, Unit.TOKENS, limits.tokens_per_day
    yield Window.DAY, Unit.MONEY, _micro(limits.usd_per_day)
    yield Window.MONTH, Unit.TOKENS, limits.tokens_per_month
    yield Window.MONTH, Unit.MONEY, _micro(limits.usd_per_month)


def _micro(usd: float | None) -> int | None:
    return None if usd is None else math.floor(round(usd * MICRO, 3))
