"""``make attack``: run the whole pack against an assistant of its own, print a table, and exit with 1 if a
floor is missed."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from checks.attack.pack import attacks, mutated
from checks.attack.report import JSON, MARKDOWN, missed, show, write
from checks.attack.run import MOST_SECONDS, over_blocking, run
from checks.attack.target import target


def main() -> int:
    """Run the pack. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m checks.attack", description=__doc__)
    parser.add_argument("--each", type=int, default=2, help="number of mutations of every attack (default 2)")
    parser.add_argument("--seed", type=int, default=14, help="seed that chooses the mutations (default 14)")
    parser.add_argument(
        "--seconds", type=float, default=MOST_SECONDS, help="seconds after which no attack begins"
    )
    options = parser.parse_args()
    console = Console()
    with target(telemetry=True) as attacked:
        cases = mutated(attacks(), options.each, options.seed)
        console.print(
            f"{len(cases)} attacks against {attacked.cloud.endpoint} and the assistant in this process"
        )
        with console.status("starting") as status:
            harmless = over_blocking(attacked)
            result = run(attacked, cases, lambda case: status.update(case.name), seconds=options.seconds)
            result.harmless = harmless
    show(result, console)
    write(result)
    failed = list(missed(result))
    for each in failed:
        console.print(f"[red]✗[/] {each}")
    console.print(f"Written to {JSON} and {MARKDOWN}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
