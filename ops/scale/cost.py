"""The cost of a month at a load, by service: `ops.cost` with the tasks that the hours of the day need."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ops.cost.idle import DAYS, Line, Template, idle
from ops.cost.prices import Prices
from ops.cost.requests import THOUSAND, requests
from ops.scale.day import DAY, Day
from ops.scale.limits import Plan

HOURS = 24
GROUPS = (
    ("model", ("chat model", "embedding model")),
    ("Comprehend", ("detector pii", "detector toxicity")),
    ("other guardrails", ("detector",)),
    ("authorization", ("authorization",)),
    (
        "tasks",
        ("Fargate", "their public addresses", "function of", "load balancer", "NAT gateway", "API Gateway"),
    ),
    ("metrics, logs, traces", ("metrics", "CloudWatch", "Container Insights", "traces", "logs")),
)
"""Names of groups, each with the beginnings of the lines in it; other lines are `the rest`."""


def month(plan: Plan, templates: Mapping[str, Template], prices: Prices, daily: float) -> dict[str, float]:
    """Return USD a month by group for a number of requests each day."""
    standing = idle(_tasks(templates, None), prices).lines
    asked, _ = requests(templates, prices)
    extra = max(0.0, mean_tasks(plan, daily) - plan.serving.min_tasks)
    if not plan.serving.on_lambda:
        one, two = (idle(_tasks(templates, number), prices).lines for number in (1, 2))
        standing += [replace(each, usd=extra * each.usd) for each in _difference(one, two)]
    totals: dict[str, float] = defaultdict(float)
    for line in standing:
        totals[_group(line)] += line.usd
    for line in asked:
        totals[_group(line)] += line.usd * daily * DAYS / THOUSAND
    return dict(totals)


def mean_tasks(plan: Plan, daily: float) -> float:
    """Return the mean number of tasks over a day, if scaling followed each hour at once and without a maximum."""
    day = Day(daily, plan.peak_factor)
    loads = [replace(plan.load(daily), rate=day.rate((hour + 0.5) * DAY / HOURS)) for hour in range(HOURS)]
    return sum(load.tasks for load in loads) / HOURS


def _tasks(templates: Mapping[str, Template], number: int | None) -> dict[str, Any]:
    """Return the templates with another number of tasks."""
    changed = copy.deepcopy(dict(templates))
    for template in changed.values():
        for resource in template["Resources"].values():
            if number is not None and resource["Type"] == "AWS::ECS::Service":
                resource["Properties"]["DesiredCount"] = number
    return changed


def _difference(one: list[Line], two: list[Line]) -> list[Line]:
    """Return what a second task adds: the lines are the same, in the same order."""
    return [
        replace(more, usd=more.usd - less.usd) for less, more in zip(one, two, strict=True) if more != less
    ]


def _group(line: Line) -> str:
    return next((name for name, starts in GROUPS if line.what.startswith(starts)), "the rest")
