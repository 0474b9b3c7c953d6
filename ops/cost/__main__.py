"""``python -m ops.cost``: the cost of PROFILE for an idle month, for a thousand requests and for a thousand published
documents, by stack."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.cost.documents import documents
from ops.cost.idle import Line, idle
from ops.cost.prices import FILE, Prices, read
from ops.cost.requests import NoAssistantError, requests
from stacks.availability import REGION_VARIABLES

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.cost", description=__doc__)
    parser.add_argument("--profile", default="dev")
    parser.add_argument("--editors", type=int, default=0, help="number of people who edit in Grafana")
    parser.add_argument(
        "--requests", type=int, default=0, metavar="N", help="requests per month, whose cost is added"
    )
    parser.add_argument("--json", action="store_true", help="print the lines as JSON, for programs")
    options = parser.parse_args(arguments)
    try:
        templates, prices = synthesize(options.profile), read()
        standing = idle(templates, prices, editors=options.editors)
        asked, unknown = requests(templates, prices)
        published, unread = documents(templates, prices)
    except (LookupError, NoAssistantError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    unpriced = [*standing.unpriced, *standing.named, *unknown, *unread]
    if options.json:
        answer = {
            "idle": standing.lines,
            "thousand_requests": asked,
            "thousand_documents": published,
            "unpriced": unpriced,
        }
        print(json.dumps(answer, default=vars, indent=1))
        return 0
    _show(options, prices, standing.lines, asked, published, unpriced)
    return 0


def synthesize(profile: str) -> dict[str, Any]:
    """Return the profile's templates by stack. Raises ValueError with the app's error when it refuses the
    profile.
    """
    with tempfile.TemporaryDirectory() as directory:
        ended = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), "-c", f"profile={profile}"],
            cwd=ROOT,
            env={**_without_region(os.environ), "CDK_OUTDIR": directory},
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            raise ValueError(ended.stderr.strip())
        return {
            file.name.removesuffix(".template.json"): json.loads(file.read_text())
            for file in sorted(Path(directory).glob("*.template.json"))
        }


def _without_region(environment: Mapping[str, str]) -> dict[str, str]:
    """Remove the shell's region, so that templates can be priced even when that region lacks one of their
    types.
    """
    return {name: value for name, value in environment.items() if name not in REGION_VARIABLES}


def _show(
    options: argparse.Namespace,
    prices: Prices,
    standing: list[Line],
    asked: list[Line],
    published: list[Line],
    unpriced: list[str],
) -> None:
    console = Console()
    console.print(_table(f"{options.profile}: an idle month", standing, "USD a month"))
    console.print(_table("A thousand ordinary requests", asked, "USD per 1,000", 3))
    if published:
        pages = f"A thousand documents of {prices.document.pages:g} pages, published once"
        console.print(_table(pages, published, "USD per 1,000", 3))
    total, thousand = _sum(standing), _sum(asked)
    if options.requests:
        month = total + options.requests / 1000 * thousand
        console.print(f"With {options.requests:,} requests a month: [bold]{month:,.2f} USD[/].")
    for what in unpriced:
        console.print(f"[yellow]not priced:[/] {what}")
    console.print(
        f"[dim]List prices of {prices.region} as of {prices.as_of}; they, the ordinary request and the ordinary "
        f"document are defined in {FILE.relative_to(ROOT)}. Free tiers, taxes and data transfer are left out, and so "
        "is what grows with use: bytes stored, dashboard queries, metrics that jobs write.[/]"
    )


def _table(title: str, lines: Iterable[Line], unit: str, digits: int = 2) -> Table:
    by_stack: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        by_stack[line.stack][line.what].append(line.usd)
    table = Table(title=title, title_justify="left", show_footer=True)
    total = sum(usd for whats in by_stack.values() for amounts in whats.values() for usd in amounts)
    table.add_column("stack", footer="in all")
    table.add_column("what")
    table.add_column(unit, justify="right", footer=f"{total:,.{digits}f}")
    for stack, whats in by_stack.items():
        ordered = sorted(whats.items(), key=lambda item: -sum(item[1]))
        for number, (what, amounts) in enumerate(ordered):
            many = f" x {len(amounts)}" if len(amounts) > 1 else ""
            table.add_row(stack if number == 0 else "", what + many, f"{sum(amounts):,.{digits}f}")
    return table


def _sum(lines: Iterable[Line]) -> float:
    return sum(line.usd for line in lines)


if __name__ == "__main__":
    sys.exit(main())
