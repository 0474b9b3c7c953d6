"""``python -m ops.scale``: what PROFILE can serve in a day in a new account: tasks, the limits that break first and
what moves each, and the cost."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.cost.__main__ import synthesize
from ops.cost.prices import read as read_prices
from ops.cost.requests import NoAssistantError
from ops.scale.cost import month
from ops.scale.day import HIGHEST_PEAK
from ops.scale.limits import ROOM, Line, Plan
from ops.scale.profile import serving
from ops.scale.quotas import FILE, MARKS
from ops.scale.quotas import read as read_limits

LADDER = (10_000, 100_000, 1_000_000, 10_000_000)
"""Requests a day of the answer, when none are given."""
REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
WIDTH = 170
"""Columns of the output where there is no terminal."""
TIGHT = 0.8
"""Share of a limit from which it is named as one to raise."""


def main(arguments: list[str] | None = None) -> int:
    parser = options_of("python -m ops.scale", __doc__)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, for programs")
    options = parser.parse_args(arguments)
    try:
        templates, prices = synthesize(options.profile), read_prices()
        plan = Plan(serving(templates), prices.request, read_limits(), options.region, options.peak_factor)
        days = [options.requests] if options.requests else list(LADDER)
        answers = [_answer(plan, day, month(plan, templates, prices, day)) for day in days]
    except (LookupError, NoAssistantError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(
            json.dumps({"profile": options.profile, "region": options.region, "answers": answers}, indent=1)
        )
        return 0
    _show(options, plan, answers)
    return 0


def options_of(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of the options that say which deployment and how many requests."""
    usual = read_limits().assumptions.peak_factor
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--profile", default="dev", help="profile of cdk.json (default dev)")
    parser.add_argument(
        "--requests", type=_count, metavar="N", help="requests a day (default: 10,000 to 10,000,000)"
    )
    parser.add_argument(
        "--region", type=_region, default="us-east-1", help="region of the quotas (default us-east-1)"
    )
    parser.add_argument(
        "--peak-factor",
        type=_factor,
        default=usual,
        metavar="F",
        help=f"busiest moment over the day's mean (default {usual:g})",
    )
    return parser


def _count(given: str) -> int:
    plain = given.replace(",", "").replace("_", "")
    if not (plain.isascii() and plain.isdecimal() and 0 < int(plain) <= 10**10):
        raise argparse.ArgumentTypeError(
            f"'{given}' is not a number of requests a day: give a whole number from 1 to 10,000,000,000"
        )
    return int(plain)


def _factor(given: str) -> float:
    try:
        factor = float(given)
    except ValueError:
        factor = math.nan
    if not 1 <= factor <= HIGHEST_PEAK:
        raise argparse.ArgumentTypeError(
            f"'{given}' is not a peak factor: give a number from 1, an even day, to {HIGHEST_PEAK:g}"
        )
    return factor


def _region(given: str) -> str:
    if not REGION.match(given):
        raise argparse.ArgumentTypeError(f"'{given}' is not a region: give one such as eu-west-1")
    return given


def _answer(plan: Plan, day: int, costs: dict[str, float]) -> dict[str, Any]:
    lines = plan.lines(day)
    load, first = plan.load(day), plan.first(lines)
    return {
        "requests_a_day": day,
        "requests_per_second_at_peak": load.rate,
        "tasks": load.tasks,
        "max_tasks": plan.serving.max_tasks,
        "first_limit": {"service": first.service, "name": first.name, "breaks_at": first.breaks_at},
        "usd_a_month": costs,
        "limits": [_plain(line) for line in lines],
    }


def _plain(line: Line) -> dict[str, Any]:
    quota = line.quota
    return {
        "service": line.service,
        "name": line.name,
        "need": line.need,
        "limit": line.limit,
        "unit": line.unit,
        "used": line.used,
        "breaks_at": line.breaks_at,
        "mark": line.mark,
        "moves": line.moves,
        "code": quota.code if quota else "",
        "ask_for": _ask_for(line),
        "adjustable": quota.adjustable if quota else "setting",
        "source": f"{quota.source} ({quota.date})" if quota else "",
        "note": quota.note if quota else "",
    }


def _show(options: argparse.Namespace, plan: Plan, answers: Sequence[dict[str, Any]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(_summary(options, answers))
    for answer in answers if len(answers) == 1 else ():
        console.print(_limits(answer))
        for line in answer["limits"]:
            if line["limit"] is None:
                where = f" {line['note']}" if line["note"] else ""
                console.print(f"[yellow]unknown:[/] {line['service']}, {line['name']}: look it up.{where}")
    marks = f"{MARKS['reading']} read in somebody's account, {MARKS['memory']} from memory"
    console.print(
        f"[dim]Peak {options.peak_factor:g} times the mean of the day. Quotas of new accounts in {options.region} "
        f"as of {plan.limits.as_of}, from AWS's documentation; {marks}. Sources, dates and the calls of an "
        f"ordinary request are in {FILE.name}; docs/scale.md explains them.[/]",
        soft_wrap=True,
    )


def _summary(options: argparse.Namespace, answers: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=f"{options.profile} in a new account of {options.region}", title_justify="left")
    for column in ("requests a day", "at peak, per s", "tasks (of at most)"):
        table.add_column(column, justify="right")
    table.add_column("limits that break, the first first")
    table.add_column("USD a month", justify="right")
    for answer in answers:
        broken = sorted(
            (line for line in answer["limits"] if (line["used"] or 0) >= 1),
            key=lambda line: line["breaks_at"],
        )
        names = [f"{line['service']}: {line['name']}{line['mark']}" for line in broken]
        table.add_row(
            f"{answer['requests_a_day']:,}",
            f"{answer['requests_per_second_at_peak']:,.1f}",
            f"{answer['tasks']:,} ({answer['max_tasks']:,})",
            "\n".join(names) or "none of those known",
            f"{sum(answer['usd_a_month'].values()):,.0f}",
        )
    return table


def _limits(answer: dict[str, Any]) -> Table:
    table = Table(title="What the peak needs of each limit", title_justify="left")
    for column in ("limit", "needs", "has", "used", "breaks at, a day", "what moves it"):
        table.add_column(column, justify="left" if column in ("limit", "what moves it") else "right")
    for line in answer["limits"]:
        if line["limit"] is None:
            continue
        colour = "red" if line["used"] >= 1 else "yellow" if line["used"] >= TIGHT else ""
        share = f"{line['used']:.0%}"
        table.add_row(
            f"{line['service']}: {line['name']}",
            f"{line['need']:,.1f}",
            f"{line['limit']:,.4g}{line['mark']} {line['unit']}"
            if line["limit"] < 1000
            else f"{line['limit']:,.0f}{line['mark']} {line['unit']}",
            f"[{colour}]{share}[/]" if colour else share,
            f"{line['breaks_at']:,.0f}" if line["breaks_at"] else "-",
            _remedy(line),
        )
    return table


def _ask_for(line: Line) -> str:
    """Return the value to request from Service Quotas, in the quota's own period; empty where nothing is requested."""
    quota = line.quota
    if quota is None or quota.adjustable in ("no", "by itself"):
        return ""
    per = {"second": "a second", "minute": "a minute", "moment": ""}[quota.per]
    value = math.ceil(line.need * ROOM * (60 if quota.per == "minute" else 1))
    return f"{value:,} {per}".strip()


def _remedy(line: dict[str, Any]) -> str:
    """Return what moves a limit that is tight, with the value to ask for."""
    if line["used"] < TIGHT:
        return ""
    return f"{line['moves']} (ask for {line['ask_for']})" if line["ask_for"] else str(line["moves"])


if __name__ == "__main__":
    sys.exit(main())
