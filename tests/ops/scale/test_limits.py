"""Where limits break, and which is first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.scale.limits import breaking
from tests.ops.scale.conftest import PLAN, SERVING


def test_each_limit_is_used_up_where_it_breaks() -> None:
    for line in PLAN.lines(1e6):
        if line.breaks_at:
            just = next(each for each in PLAN.lines(line.breaks_at) if each.name == line.name)
            below = next(each for each in PLAN.lines(0.98 * line.breaks_at) if each.name == line.name)
            assert just.used is not None and just.used >= 0.999, line.name
            assert below.used is not None and below.used <= 1, line.name


def test_the_most_used_limit_comes_first_and_the_unknown_last() -> None:
    lines = PLAN.lines(1e6)
    used = [line.used for line in lines if line.used is not None]
    assert used == sorted(used, reverse=True)
    assert [line.used for line in lines[len(used) :]] == [None] * (len(lines) - len(used))
    assert PLAN.first(lines).breaks_at == min(line.breaks_at for line in lines if line.breaks_at)


def test_the_budget_of_the_deployment_is_a_limit_too() -> None:
    """By hand: 0.00517 USD of model a request, 30.4 days, 1,000 USD."""
    line = next(line for line in PLAN.lines(1000) if line.name.startswith("budget"))
    assert line.breaks_at == pytest.approx(1000 / 30.4 / 0.00517, rel=1e-3)
    assert line.moves == "assistant.budgets.deployment.usd_per_month"


def test_without_a_deployment_budget_its_counter_is_no_limit() -> None:
    plan = replace(PLAN, serving=replace(SERVING, budgets={"user": {"usd_per_day": 20}}))
    assert not [line for line in plan.lines(1e6) if "budget" in line.name and "table" not in line.name]


def test_a_model_that_the_list_does_not_know_has_an_unknown_limit() -> None:
    plan = replace(PLAN, serving=replace(SERVING, model_id="amazon.nova-pro-v1:0"))
    line = next(line for line in plan.lines(1e6) if line.name.startswith("tokens of"))
    assert (line.limit, line.mark) == (None, "?")


def test_a_profile_without_a_part_has_not_its_limit() -> None:
    plan = replace(PLAN, serving=replace(SERVING, detectors=frozenset({"bedrock_checks"})))
    names = {line.name for line in plan.lines(1e6)}
    assert "InvokeGuardrailChecks" in names and "DetectPiiEntities" not in names


def test_a_region_moves_a_limit() -> None:
    def breaks(region: str) -> float:
        lines = replace(PLAN, region=region).lines(1e6)
        return next(line.breaks_at or 0 for line in lines if line.name == "searches of the knowledge base")

    assert breaks("us-east-1") == pytest.approx(4 * breaks("eu-west-1"), rel=1e-3)


@pytest.mark.parametrize(("limit", "found"), [(50, 50), (1e13, None), (None, None)])
def test_the_breaking_point_of_a_line_is_found(limit: float | None, found: float | None) -> None:
    assert breaking(lambda requests: requests, limit) == (pytest.approx(found, rel=1e-3) if found else None)
