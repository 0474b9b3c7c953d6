"""Amounts against sums made with decimals, and windows against the calendar."""

from __future__ import annotations

import calendar
import random
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from opentelemetry.metrics import CallbackOptions

from fmops.budgets import BudgetSettings, Limits, Unit, Window, accounts, estimated_tokens, micro_usd
from fmops.budgets.amounts import at_most, dearest
from fmops.telemetry.metrics import instruments
from fmops.telemetry.prices import prices
from settings.assistant import Budgets
from stacks.variables import _without_unset

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def usage(fresh: int, out: int, read: int = 0, written: int = 0) -> UsageMetadata:
    total = fresh + read + written
    return UsageMetadata(
        input_tokens=total,
        output_tokens=out,
        total_tokens=total + out,
        input_token_details=InputTokenDetails(cache_read=read, cache_creation=written),
    )


@pytest.mark.parametrize(
    "model_id", [HAIKU, *(f"global.{name}" for name in prices().models), "amazon.nova-pro-v1:0"]
)
def test_money_is_the_price_list_s_to_the_millionth_and_rounded_up(model_id: str) -> None:
    price = prices().price(model_id)
    assert price is not None
    chance = random.Random(7)
    for _ in range(200):
        fresh, out, read, written = (chance.randrange(0, 200_000) for _ in range(4))
        exact = (
            fresh * Decimal(repr(price.input))
            + out * Decimal(repr(price.output))
            + read * Decimal(repr(price.cache_read))
            + written * Decimal(repr(price.cache_write))
        )
        paid = micro_usd(model_id, usage(fresh, out, read, written))
        assert 0 <= paid - exact.quantize(Decimal("0.0001")).to_integral_value(ROUND_CEILING) <= 1
        assert paid <= at_most(model_id, fresh + read + written, out).micro_usd + 1


def test_a_model_without_a_price_is_as_dear_as_the_dearest() -> None:
    assert dearest() == prices().models["anthropic.claude-opus-4-5-20251101-v1:0"]
    assert micro_usd("nobody.knows-v1", usage(1_000_000, 1_000_000)) == 30_000_000


@pytest.mark.parametrize(
    "text",
    ["The quick brown fox jumps over the lazy dog. " * 20, "保险合同的条款。" * 50, '{"a": [1, 2, 3]}' * 30],
)
def test_an_estimate_of_tokens_is_rather_too_high(text: str) -> None:
    words = len(text.split()) if " " in text else len(text)
    assert estimated_tokens([text]) >= words


def test_half_a_character_can_be_estimated() -> None:
    assert estimated_tokens(["\ud83d"]) > 0


@pytest.mark.parametrize("window", list(Window))
def test_windows_follow_the_calendar(window: Window) -> None:
    at = datetime(2027, 12, 30, 23, 58, 30, tzinfo=UTC)
    for _ in range(4_000):
        at += timedelta(hours=7, minutes=13, seconds=17)
        now = at.timestamp()
        ends = datetime.fromtimestamp(window.end(now), UTC)
        if window is Window.MINUTE:
            begins = at.replace(second=0)
            seconds = 60
        elif window is Window.DAY:
            begins = at.replace(hour=0, minute=0, second=0)
            seconds = 86_400
        else:
            begins = at.replace(day=1, hour=0, minute=0, second=0)
            seconds = 86_400 * calendar.monthrange(at.year, at.month)[1]
        assert (ends - begins).total_seconds() == seconds
        assert window.period(begins.timestamp()) == window.period(now) == window.period(ends.timestamp() - 1)
        assert window.period(ends.timestamp()) != window.period(now)


def test_only_what_is_limited_is_counted() -> None:
    assert accounts(BudgetSettings(), "u", {"t": "x"}) == []
    (account,) = accounts(BudgetSettings(user=Limits(usd_per_day=2.5)), "u", {"t": "x"})
    assert account.limits == {Window.DAY: {Unit.MONEY: 2_500_000}}


def test_the_settings_of_a_deployment_are_those_of_the_runtime() -> None:
    given: dict[str, Any] = {
        "user": {
            "requests_per_minute": 1,
            "tokens_per_minute": 2,
            "tokens_per_day": 3,
            "tokens_per_month": 4,
        },
        "teams": {"a": {"usd_per_day": 0.5, "usd_per_month": 6}},
        "team_claim": "cost_centre",
        "when_unavailable": "allow",
    }
    deployed = Budgets.model_validate(given)
    parsed = BudgetSettings.model_validate(_without_unset(deployed))
    assert parsed.model_dump() == deployed.model_dump()
    assert parsed.limited and deployed.limited
    nothing: dict[str, Any] = {"user": {}, "deployment": {}}
    assert not Budgets.model_validate(nothing).limited
    assert not BudgetSettings.model_validate(nothing).limited


def test_metrics_say_the_largest_share_and_name_nobody() -> None:
    class Spent:
        def spent(self) -> list[tuple[str, str, str, float]]:
            return [("user", "day", "usd", 0.25), ("deployment", "month", "usd", 0.5)]

    class More:
        def spent(self) -> list[tuple[str, str, str, float]]:
            return [("user", "day", "usd", 0.75)]

    kept = [Spent(), More()]
    instruments()._budgets.clear()
    for each in kept:
        instruments().watch_budgets(each)
    seen = {
        tuple((each.attributes or {}).values()): each.value
        for each in instruments()._observe_budgets(CallbackOptions())
    }
    assert seen == {("user", "day", "usd"): 0.75, ("deployment", "month", "usd"): 0.5}
