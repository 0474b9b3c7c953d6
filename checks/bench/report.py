"""The results of every benchmark: entries for build/bench.json, and a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

OUT = Path("build/bench.json")

Entry = dict[str, Any]
Note = tuple[str, str]


def entry(value: float, unit: str, goal: str, against: str, rounds: int) -> Entry:
    """Return a figure with its goal, such as ``<= 1.1``, what it was measured against, and the number of
    rounds.
    """
    return {"value": round(value, 3), "unit": unit, "goal": goal, "against": against, "rounds": rounds}


def median_ratio(values: Sequence[float], against: Sequence[float]) -> float:
    """Return the median of the ratios round by round: whatever slowed a round down slowed both."""
    return statistics.median(value / other for value, other in zip(values, against, strict=True))


def absolute(what: str, times: Mapping[str, Sequence[float]]) -> list[Note]:
    """Return median times in milliseconds, for orientation."""
    return [
        (f"{what}: {name}", f"{statistics.median(values) * 1000:.1f} ms") for name, values in times.items()
    ]


def met(each: Entry) -> bool:
    """Whether a figure reaches its goal."""
    relation, _, bound = each["goal"].partition(" ")
    return bool(each["value"] <= float(bound) if relation == "<=" else each["value"] >= float(bound))


def publish(entries: Mapping[str, Entry], notes: Iterable[Note] = ()) -> None:
    """Merge the entries into build/bench.json, and print them."""
    OUT.parent.mkdir(exist_ok=True)
    known = json.loads(OUT.read_text()) if OUT.exists() else {}
    OUT.write_text(json.dumps({**known, **entries}, indent=1) + "\n")
    for name, each in entries.items():
        verdict = "met" if met(each) else "MISSED"
        print(
            f"{name:34} {each['value']:10.3f} {each['unit']:10} goal {each['goal']:8} {verdict:7} against"
            f" {each['against']}"
        )
    print()
    for what, value in notes:
        print(f"  {what:58} {value}")
