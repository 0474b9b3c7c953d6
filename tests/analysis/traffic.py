"""Lakes with known content, written as capture writes them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from checks.bench.drift_world import World
from fmops.analysis.lake import DirectoryLake, Window
from fmops.interaction import Embedding, Interaction

MODEL = "titan"
START = datetime(2026, 9, 1, tzinfo=UTC)


def day(number: int) -> Window:
    """Return the ``number``-th day of the lake."""
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1))


def interaction(window: Window, number: int, vector: Any, text: str = "", **changes: Any) -> Interaction:
    started = window.start + timedelta(minutes=number % 1380)
    return Interaction(
        **{
            "interaction_id": f"int-{window.id}-{number}",
            "session_id": f"{window.id}-{number // 2}",
            "started_at": started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "input": text,
            "embedding": Embedding.encode(MODEL, vector) if vector is not None else None,
            **changes,
        }
    )


def put(lake: DirectoryLake, window: Window, records: Iterable[Interaction], name: str = "a") -> str:
    """Write an object as the delivery stream does, and return its key."""
    key = f"interactions/dt={window.start:%Y-%m-%d}/hour={window.start:%H}/{name}.gz"
    lake.write(key, gzip.compress(b"".join(record.line() for record in records)))
    return key


def fill(
    lake: DirectoryLake, window: Window, rows: Any, texts: Sequence[str] | None = None, **changes: Any
) -> list[tuple[str, int]]:
    """Write one object with the rows, and return the window's objects."""
    records = [
        interaction(window, number, row, texts[number] if texts else f"question {number}", **changes)
        for number, row in enumerate(rows)
    ]
    put(lake, window, records)
    return window.keys(lake, "interactions")


def usual_days(root: Path, days: int, rows: int = 300, *, seed: int = 7) -> tuple[DirectoryLake, World]:
    """Return a lake of days that differ only by chance and by the mix of questions."""
    lake, world, generator = (
        DirectoryLake(root),
        World(seed, dimension=48, topics=12),
        np.random.default_rng(seed),
    )
    for number in range(days):
        fill(lake, day(number), world.sample(rows, generator, jitter=0.15))
    return lake, world
