"""``make load``: rising numbers of concurrent users, overload, recovery and a soak, against the deployed
assistant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from checks.load.deployment import Deployed, deployed
from checks.load.report import JSON, PLOT, show, write
from checks.load.stages import Report, measure
from local.run.up import LOG_WIDTH

USERS = (1, 4, 16, 64, 128, 400)


def main() -> int:
    """Run all stages. Return 1 if an answer was wrong, a record lost, or a bound missed."""
    parser = argparse.ArgumentParser(prog="python -m checks.load", description=__doc__)
    parser.add_argument(
        "--users", type=int, nargs="+", default=USERS, help="concurrent users, stage by stage"
    )
    parser.add_argument("--seconds", type=float, default=15, help="seconds of a stage (default 15)")
    parser.add_argument(
        "--soak",
        type=float,
        default=0,
        help="seconds of a soak at 70 %% of what one task can take (default none)",
    )
    parser.add_argument(
        "--profile", default="dev", help="profile of cdk.json, whose Assistant stack must have an ECS service"
    )
    parser.add_argument("--port-base", type=int, default=18000)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    with deployed(options.profile, options.port_base, max(options.users), console) as running:
        report = _measure(running, options, console)
    show(report, console)
    write(report)
    for each in report.missed():
        console.print(f"[red]✗[/] {each}")
    console.print(f"Written to {JSON} and {PLOT}")
    return 1 if report.missed() else 0


def _measure(running: Deployed, options: argparse.Namespace, console: Console) -> Report:
    return measure(running, options.users, options.seconds, options.soak, console)


if __name__ == "__main__":
    if not Path(".venvs/load/bin/python").exists():
        sys.exit("The load generator is not installed: use make load.")
    sys.exit(main())
