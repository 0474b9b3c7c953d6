"""`make faults`: run every scenario of the table against the deployed assistant; the exit code is 1 if one
is red.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from checks.faults.report import write
from checks.faults.scenario import Scenario, ScenarioError, load

REPORT = Path("build/faults.json")
PORT_BASE = 14_500
COLUMNS = ("sent", "with_id", "answered", "captured", "twice", "missing", "slowest_s", "recovered_s")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.faults", description=__doc__)
    parser.add_argument(
        "scenario", nargs="*", help="names of scenarios, or patterns of names; all by default"
    )
    parser.add_argument("--port-base", type=int, default=PORT_BASE, metavar="N")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/faults.md too")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 170)
    try:
        chosen = _chosen(load(), options.scenario)
    except ScenarioError as error:
        console.print(f"[red]✗[/] {escape(str(error))}")
        return 2
    from local.run.proxies import bypass
    from local.run.up import EXPECTED_FAILURES

    bypass(os.environ)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("moto").setLevel(logging.CRITICAL)  # of jobs that are meant to fail
    try:
        rows = _run(chosen, options.port_base, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    except EXPECTED_FAILURES as error:
        console.print("[red]✗[/]", escape(str(error)))
        return 2
    REPORT.parent.mkdir(exist_ok=True)
    known = _merged(rows) if options.scenario else rows
    REPORT.write_text(json.dumps(known, indent=1) + "\n")
    if options.docs:
        write(known)
    console.print(_table(rows))
    red = [row["name"] for row in rows if not row["green"]]
    console.print(f"{len(rows) - len(red)} of {len(rows)} scenarios green; {REPORT} has every figure")
    return 1 if red else 0


def _merged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the rows, with those of the last report for scenarios that were not run, in the table's order."""
    before = json.loads(REPORT.read_text()) if REPORT.exists() else []
    by_name = {row["name"]: row for row in [*before, *rows]}
    return [by_name[each.name] for each in load() if each.name in by_name]


def _chosen(scenarios: list[Scenario], patterns: list[str]) -> list[Scenario]:
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in scenarios):
            names = ", ".join(each.name for each in scenarios)
            raise ScenarioError(f"no scenario is called {pattern}; the scenarios are {names}")
    return [
        each
        for each in scenarios
        if not patterns or any(fnmatchcase(each.name, pattern) for pattern in patterns)
    ]


def _run(scenarios: list[Scenario], port_base: int, console: Console) -> list[dict[str, object]]:
    from checks.faults.deployed import deployed
    from checks.faults.run import run

    rows = []
    with deployed(port_base) as running:
        for scenario in scenarios:
            result = run(running, scenario)
            mark = "[green]✓[/]" if result.green else "[red]✗[/]"
            console.print(f"{mark} {scenario.name} [dim]{result.seconds:.1f} s[/]", highlight=False)
            for problem in result.problems:
                console.print(f"    [red]{escape(problem)}[/]", highlight=False)
            rows.append(result.row())
            if not result.green:
                running.renew()  # so that the next scenario is not affected by this one
    return rows


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table(title="Faults")
    for column in ("", "scenario", *COLUMNS, "codes"):
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        mark = "[green]✓[/]" if row["green"] else "[red]✗[/]"
        codes = row["codes"]
        said = (
            ", ".join(f"{name} {count}" for name, count in codes.items()) if isinstance(codes, dict) else ""
        )
        figures = (str("-" if row[column] is None else row[column]) for column in COLUMNS)
        table.add_row(mark, str(row["name"]), *figures, said)
    return table


if __name__ == "__main__":
    sys.exit(main())
