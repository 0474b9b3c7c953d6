"""A table of what the guardrails did, by direction, action and detector, from the captured records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

DIRECTIONS = ("input", "output", "tool_arguments", "tool_results", "retrieved")
ACTIONS = ("flag", "redact", "block")


def guardrails(records: Iterable[Mapping[str, Any]]) -> Table:
    """Return how often each action was taken in each direction, and by which detectors."""
    decided: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for record in records:
        for outcome in record["guardrails"]:
            decided[outcome["direction"], outcome["action"]][outcome["detector"]] += 1
    table = Table(title="Guardrails: decisions by direction, action and detector", expand=True)
    for column in ("direction", "allow", *ACTIONS):
        table.add_column(column, overflow="fold")
    for direction in DIRECTIONS:
        allowed = sum(decided[direction, "allow"].values())
        table.add_row(
            direction, str(allowed), *(_by_detector(decided[direction, action]) for action in ACTIONS)
        )
    return table


def _by_detector(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} by {detector}" for detector, count in sorted(counts.items())) or "-"
