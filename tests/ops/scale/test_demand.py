"""The need of a load for each limit, against figures that other pages state or that are easy by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.scale.demand import HEADROOM, Load, need
from ops.scale.quotas import Quota
from tests.ops.scale.conftest import PLAN, SERVING

REQUEST = PLAN.request


def quota(name: str) -> Quota:
    return next(each for each in PLAN.limits.quota if each.name == name)


def at(rate: float, **serving: Any) -> Load:
    return replace(PLAN.load(0), rate=rate, serving=replace(SERVING, **serving))


def test_calls_are_those_of_an_ordinary_request() -> None:
    calls = PLAN.limits.ordinary.calls
    assert need(quota("DetectPiiEntities"), at(10)) == pytest.approx(
        10 * calls["comprehend:DetectPiiEntities"]
    )


def test_a_hot_counter_holds_what_the_page_of_budgets_says() -> None:
    """Sixty new model calls a second, two hundred at once, are about the limit of 1,000 (docs/budgets.md)."""
    load = at(60 / REQUEST.model_calls)
    load = replace(load, request=REQUEST.model_copy(update={"seconds": 200 / load.rate}))
    assert load.open_calls == pytest.approx(200)
    assert 900 < need(quota("counter of the deployment's budget"), load) <= 1000


def test_a_small_counter_costs_one_unit_a_change() -> None:
    load = at(1)
    assert need(quota("counter of the deployment's budget"), load) == load.model_calls * 2


def test_an_output_token_takes_five_of_the_quota() -> None:
    """By hand: two calls of 1,600 tokens in and 150 out, and what is held for four seconds of each request."""
    load = at(1, max_output_tokens=0)
    assert need(quota("tokens of Claude Haiku 4.5, cross-region"), load) == 2 * (1600 + 5 * 150)
    held = need(quota("tokens of Claude Haiku 4.5, cross-region"), at(1, max_output_tokens=4096))
    assert held == pytest.approx(2 * 2350 + 4 * (4096 - 750) / 60)


@pytest.mark.parametrize(
    ("rate", "tasks"),
    [
        (0.1, 2),  # the minimum
        (12, 3),  # 5 requests a second and task
        (29, 6),
    ],
)
def test_the_policy_that_asks_for_most_decides_about_tasks(rate: float, tasks: int) -> None:
    assert at(rate).tasks == tasks


def test_slow_answers_need_tasks_for_their_turns() -> None:
    slow = replace(at(10), request=REQUEST.model_copy(update={"seconds": 30}))
    assert slow.tasks == 11  # 300 turns of 28.8


def test_without_scaling_a_plan_leaves_the_same_headroom() -> None:
    from stacks.assistant import TURNS_TARGET

    assert HEADROOM == TURNS_TARGET
    assert at(7.19, targets={}, min_tasks=1).tasks == 1
    assert at(7.21, targets={}, min_tasks=1).tasks == 2


def test_a_task_holds_its_turns_or_its_cpu() -> None:
    assert at(1).held == pytest.approx(48 / 4)
    assert at(1, vcpu=0.25).held == pytest.approx(0.25 / PLAN.limits.ordinary.cpu_seconds)
    assert at(1, vcpu=4).held == at(1).held


def test_a_function_needs_an_environment_for_each_turn() -> None:
    assert at(100, on_lambda=True, turns_per_task=1, min_tasks=0).tasks == 400


def test_the_rest_by_hand() -> None:
    load = at(29)
    assert need(quota("vCPUs, while a deployment runs old and new tasks"), load) == 12
    assert need(quota("samples"), load) == pytest.approx(6 * REQUEST.series / 30)
    assert need(quota("active series"), load) == 6 * REQUEST.series
    assert need(quota("bytes of records"), load) == 29 * REQUEST.record_kb * 1024
    assert need(quota("sign-ins"), load) == pytest.approx(5.8)
    assert need(quota("functions at once"), load) == 29 * REQUEST.seconds
    assert need(quota("reads of the prompt"), load) == pytest.approx(0.2)
