"""`make scale`: its answer for every profile, its cost, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ops.cost.idle import DAYS, idle
from ops.cost.prices import read as read_prices
from ops.cost.requests import requests
from ops.scale.__main__ import main
from ops.scale.cost import mean_tasks, month
from ops.scale.limits import Plan
from ops.scale.profile import CPU, REQUESTS, TURNS, serving
from ops.scale.quotas import read
from tests.synthesized import Assembly

PRICES = read_prices()


def plan(assembly: Assembly) -> Plan:
    return Plan(serving(assembly.templates), PRICES.request, read(), "us-east-1", 2.5)


def test_every_profile_has_an_answer(assembly: Assembly) -> None:
    lines = plan(assembly).lines(1e6)
    assert plan(assembly).first(lines).breaks_at
    assert sum(month(plan(assembly), assembly.templates, PRICES, 1e6).values()) > 0


def test_a_profile_says_how_it_serves(assemblies: dict[str, Assembly]) -> None:
    dev, prod, function = (serving(assemblies[name].templates) for name in ("dev", "prod", "serverless"))
    assert (dev.min_tasks, dev.max_tasks, dev.vcpu, dev.targets) == (1, 1, 0.5, {})
    assert (prod.min_tasks, prod.max_tasks, prod.vcpu) == (2, 10, 1)
    assert prod.targets == {TURNS: pytest.approx(0.6 * 48), REQUESTS: 300, CPU: 60}
    assert (prod.address_limit, dev.address_limit) == (1000, None)
    assert (function.on_lambda, function.turns_per_task, function.max_tasks) == (True, 1, 1000)
    assert dev.budgets["deployment"] == {"usd_per_month": 1000}
    assert dev.detectors >= {"comprehend_pii", "comprehend_toxicity", "bedrock_checks"}


@pytest.mark.parametrize("profile", ["dev", "prod", "serverless"])
def test_a_small_load_costs_what_make_cost_says(assemblies: dict[str, Assembly], profile: str) -> None:
    templates = assemblies[profile].templates
    expected = sum(line.usd for line in idle(templates, PRICES).lines)
    expected += 100 * DAYS / 1000 * sum(line.usd for line in requests(templates, PRICES)[0])
    assert sum(month(plan(assemblies[profile]), templates, PRICES, 100).values()) == pytest.approx(expected)


def test_tasks_beyond_the_minimum_cost_what_a_task_costs(assemblies: dict[str, Assembly]) -> None:
    templates = assemblies["prod"].templates
    of = plan(assemblies["prod"])
    wide = replace(of, serving=replace(of.serving, min_tasks=0))
    # With no minimum, the tasks that always run are counted as extra ones beside those of the template.
    extra = month(wide, templates, PRICES, 1e6)["tasks"] - month(of, templates, PRICES, 1e6)["tasks"]
    task = 730 * (0.03238 + 2 * 0.00356)
    assert extra == pytest.approx((mean_tasks(wide, 1e6) - mean_tasks(of, 1e6) + of.serving.min_tasks) * task)


def test_the_answer_names_the_first_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--requests", "1,000,000"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1,000,000" in printed
    assert "DetectPiiEntities" in printed
    assert "request L-58BE175A" in printed
    assert "unknown: Comprehend, DetectToxicContent: look it up." in printed


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "dev", "--json", "--region", "eu-west-1"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [each["requests_a_day"] for each in answers] == [10_000, 100_000, 1_000_000, 10_000_000]
    for answer in answers:
        broken = [line for line in answer["limits"] if line["breaks_at"]]
        assert answer["first_limit"]["breaks_at"] == min(line["breaks_at"] for line in broken)
    asked = {line["name"]: line["ask_for"] for line in answers[2]["limits"]}
    # By hand: 28.94 requests a second at the peak, 6.17 checks of each, 60 seconds, and a quarter more.
    assert asked["InvokeGuardrailChecks"] == "13,390 a minute"
    assert asked["vCPUs, while a deployment runs old and new tasks"] == "14"
    assert asked["searches of the knowledge base"] == asked["bytes of records"] == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--requests", "abc"], "'abc' is not a number of requests a day: give a whole number from 1"),
        (["--requests", "0"], "'0' is not a number of requests a day"),
        (["--requests", "-5"], "'-5' is not a number of requests a day"),
        (["--requests", "1e6"], "'1e6' is not a number of requests a day"),
        (["--peak-factor", "0.5"], "'0.5' is not a peak factor: give a number from 1, an even day, to 12"),
        (["--peak-factor", "high"], "'high' is not a peak factor"),
        (["--region", "mars"], "'mars' is not a region: give one such as eu-west-1"),
    ],
)
def test_a_bad_argument_is_refused_with_the_remedy(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_unknown_profile_is_refused_in_the_settings_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "nothing"]) == 1
    assert "'nothing' is not in the context" in capsys.readouterr().err
