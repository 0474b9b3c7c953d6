"""Budgets of requests, tokens and money by user, team and deployment: reserved before a model call, settled
after it."""

from fmops.budgets.accounts import Account, Scope, accounts
from fmops.budgets.amounts import Amount, Unit, estimated_tokens, micro_usd
from fmops.budgets.counters import Counter, CounterTable, Refusal
from fmops.budgets.ledger import BudgetExceeded, Budgets, CountersUnavailable, Reservation
from fmops.budgets.settings import BudgetSettings, Limits
from fmops.budgets.windows import Window

__all__ = [
    "Account",
    "Amount",
    "BudgetExceeded",
    "BudgetSettings",
    "Budgets",
    "Counter",
    "CounterTable",
    "CountersUnavailable",
    "Limits",
    "Refusal",
    "Reservation",
    "Scope",
    "Unit",
    "Window",
    "accounts",
    "estimated_tokens",
    "micro_usd",
]
