"""The steps of a simulated turn make the calls that were measured, and no others."""

from __future__ import annotations

from collections import defaultdict

import pytest

from checks.scale import days
from ops.scale.demand import need
from tests.ops.scale.conftest import PLAN


def test_a_turn_makes_the_measured_calls_and_takes_the_seconds_of_an_ordinary_request() -> None:
    steps = days.steps(PLAN)
    made: defaultdict[str, float] = defaultdict(float)
    for step in steps:
        for call in step.calls:
            made[call.bucket] += call.calls
    calls = PLAN.limits.ordinary.calls
    for quota in PLAN.limits.quota:
        if quota.name in days.SIMULATED and PLAN.serving.has(quota.needs):
            assert made[quota.name] == pytest.approx(sum(calls.get(each, 0) for each in quota.operations))
    assert made[days.TOKENS] == PLAN.request.model_calls == 2
    assert made[days.COUNTER] == 2 * PLAN.request.model_calls
    assert sum(step.seconds for step in steps) == pytest.approx(PLAN.request.seconds)


def test_a_days_peak_is_the_rate_that_the_arithmetic_has() -> None:
    peak = days.peak(PLAN, 1e6, raised=True)
    assert max(rate for _, rate in peak.rates) == pytest.approx(PLAN.load(1e6).rate, rel=1e-3)
    whole = days.day(PLAN, 1e6, raised=True)
    mean = sum(rate for _, rate in whole.rates[1:]) / (len(whole.rates) - 1)
    assert mean * whole.seconds == pytest.approx(1e6, rel=1e-3)


def test_the_quotas_of_a_new_account_are_buckets_and_raised_ones_are_not() -> None:
    buckets = days.peak(PLAN, 1e6, raised=False).buckets
    assert days.peak(PLAN, 1e6, raised=True).buckets == {}
    assert buckets["DetectPiiEntities"].rate == 20
    assert buckets["InvokeGuardrailChecks"].rate == 25
    assert "DetectToxicContent" not in buckets
    assert buckets[days.COUNTER].grows_each == 25
    tokens = next(each for each in PLAN.limits.quota if each.demand == "chat_tokens")
    per_call = need(tokens, PLAN.load(86_400 / 2.5)) / 2
    assert buckets[days.TOKENS].rate == pytest.approx(5_000_000 / 60)
    assert (
        next(call.units for step in days.steps(PLAN) for call in step.calls if call.bucket == days.TOKENS)
        < per_call
    )


def test_a_tripled_load_triples_within_a_minute() -> None:
    rates = days.tripled(PLAN, 1e6, before=600, after=600).rates
    assert rates[2][1] == pytest.approx(3 * rates[1][1])
    assert rates[2][0] - rates[1][0] == 60
