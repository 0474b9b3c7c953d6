"""``make scale SIMULATE=1``: simulate PROFILE around its peak, with the quotas of a new account and with raised ones,
a whole day, and a load that triples; print a table, and draw pictures in build/."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from checks.scale import days, pictures
from checks.scale.days import Outcome
from ops.cost.__main__ import synthesize
from ops.cost.prices import read as read_prices
from ops.cost.requests import NoAssistantError
from ops.scale.__main__ import LADDER, WIDTH, options_of
from ops.scale.cost import month
from ops.scale.limits import Plan
from ops.scale.profile import serving
from ops.scale.quotas import read as read_limits

JSON = Path("build/scale.json")
DAY_SHOWN = 1_000_000
BEFORE, AFTER = 1800.0, 3600.0
"""Seconds before and after the load triples."""
MANY_TASKS = 40
SHARES = (0.5, 0.95, 0.99)


def main(arguments: list[str] | None = None) -> int:
    parser = options_of("python -m checks.scale", __doc__)
    parser.add_argument(
        "--pictures", type=Path, default=Path("build"), help="folder of the pictures (default build)"
    )
    options = parser.parse_args(arguments)
    if not days.PYTHON.exists():
        print("The simulator is not installed: use make scale SIMULATE=1.", file=sys.stderr)
        return 2
    try:
        templates, prices = synthesize(options.profile), read_prices()
        plan = Plan(serving(templates), prices.request, read_limits(), options.region, options.peak_factor)
    except (LookupError, NoAssistantError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if plan.serving.on_lambda:
        print(
            f"{options.profile} runs on Lambda, whose scaling is not simulated: use a profile on ECS.",
            file=sys.stderr,
        )
        return 1
    loads = [options.requests] if options.requests else list(LADDER)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table = _peaks(plan, loads, options.profile, console)
    pictures.limits(plan, options.pictures / "scale-limits.png")
    pictures.costs(
        {day: month(plan, templates, prices, day) for day in LADDER}, options.pictures / "scale-cost.png"
    )
    _draw_days(plan, options)
    JSON.parent.mkdir(exist_ok=True)
    JSON.write_text(json.dumps(table, indent=1))
    console.print(f"Written to {JSON} and {options.pictures}/scale-*.png")
    return 0


def _peaks(plan: Plan, loads: Sequence[int], profile: str, console: Console) -> list[dict[str, object]]:
    """Simulate the hours around the peak of each load, with three sets of limits, and print the table."""
    many = replace(plan, serving=replace(plan.serving, max_tasks=100))
    kinds = (
        ("a new account", plan, False),
        ("quotas raised", plan, True),
        ("quotas raised, 100 tasks at most", many, True),
    )
    cases = [(load, name, days.peak(of, load, raised=raised)) for load in loads for name, of, raised in kinds]
    with console.status(f"Simulating {len(cases)} times what is around the peak"):
        outcomes = days.run([world for _, _, world in cases])
    table = Table(title=f"Around the peak of {profile}", title_justify="left")
    for column in (
        "requests a day",
        "limits",
        "tasks",
        "p50 s",
        "p95 s",
        "p99 s",
        "refused",
        "withheld",
        "throttled most",
    ):
        table.add_column(column, justify="left" if column in ("limits", "throttled most") else "right")
    found = []
    for (load, name, _), outcome in zip(cases, outcomes, strict=True):
        row = _row(load, name, outcome)
        found.append(row)
        seconds = [f"{row[f'p{round(100 * share)}']:.1f}" for share in SHARES]
        table.add_row(
            f"{load:,}", name, str(row["tasks"]), *seconds, f"{row['refused']:.1%}", f"{row['withheld']:.1%}",
            str(row["throttled_most"]),
        )  # fmt: skip
    console.print(table)
    return found


def _row(load: int, name: str, outcome: Outcome) -> dict[str, object]:
    most = max(outcome.throttled, key=lambda bucket: outcome.throttled[bucket], default="-")
    return {
        "requests_a_day": load,
        "limits": name,
        "tasks": outcome.tasks,
        **{f"p{round(100 * share)}": outcome.seconds(share) for share in SHARES},
        "refused": outcome.share("refused"),
        "withheld": outcome.share("withheld"),
        "throttled_most": most,
        "throttled": outcome.throttled,
    }


def _draw_days(plan: Plan, options: argparse.Namespace) -> None:
    many = replace(plan, serving=replace(plan.serving, max_tasks=MANY_TASKS))
    whole, new, few, more = days.run(
        [
            days.day(plan, DAY_SHOWN, raised=True),
            days.day(plan, DAY_SHOWN, raised=False),
            days.tripled(plan, DAY_SHOWN, before=BEFORE, after=AFTER),
            days.tripled(many, DAY_SHOWN, before=BEFORE, after=AFTER),
        ]
    )
    pictures.day(
        {"quotas raised": whole, "a new account": new}, options.pictures / "scale-day.png", unit=3600, xlabel="hour",
        title=f"A day of {DAY_SHOWN:,} requests with {options.profile}",
    )  # fmt: skip
    pictures.day(
        {f"{plan.serving.max_tasks} at most": few, f"{MANY_TASKS} at most": more},
        options.pictures / "scale-triple.png", unit=60, begin=BEFORE, xlabel="minutes after the load begins to triple",
        title=f"Three times the peak of {DAY_SHOWN:,} requests a day, within a minute",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
