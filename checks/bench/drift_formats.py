"""The whole job from captured objects, by format: rows per second, and the share of the time spent reading."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from checks.bench.drift_world import World
from checks.bench.report import Note
from fmops.analysis.engine import profile
from fmops.analysis.kernel import Kernel
from fmops.analysis.lake import COLUMNS, DirectoryLake, Reader, Window
from fmops.analysis.reference import Reference, fit
from fmops.interaction import Embedding, Interaction

ROWS, OBJECTS = 24_000, 4
DAY = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=1))


def formats() -> list[Note]:
    import duckdb

    world, generator = World(1), np.random.default_rng(1)
    reference = fit(world.sample(5000, generator), version="bench", model_id="m")
    notes = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        captured = DirectoryLake(root / "jsonl")
        for number in range(OBJECTS):
            rows = world.sample(ROWS // OBJECTS, generator)
            lines = b"".join(_record(number, index, row).line() for index, row in enumerate(rows))
            captured.write(f"interactions/dt=2026-11-01/hour=0{number}/a.gz", gzip.compress(lines, 6))
            target = root / "parquet" / f"interactions/dt=2026-11-01/hour=0{number}"
            target.mkdir(parents=True)
            source = root / "jsonl" / f"interactions/dt=2026-11-01/hour=0{number}/a.gz"
            duckdb.sql(
                f"COPY (SELECT * FROM read_json('{source}', columns={COLUMNS}, compression='gzip')) TO"
                f" '{target}/a.parquet' (FORMAT parquet)"
            )
        for name, lake in (
            ("gzip JSON lines, base64 float16", captured),
            ("Parquet, base64 float16", DirectoryLake(root / "parquet")),
        ):
            notes += _measure(name, lake, reference)
        notes.append(("gzip JSON lines, JSON numbers (parsing alone)", _numbers(world, generator)))
    return notes


def _record(number: int, index: int, row: object) -> Interaction:
    return Interaction(
        session_id=f"{number}-{index // 2}",
        started_at=f"2026-11-01T0{number}:10:00.000000Z",
        input="What about hail damage to my car? " * 3,
        output="It depends on the cover that you have. " * 30,
        embedding=Embedding.encode("m", row),  # type: ignore[arg-type]
    )


def _measure(name: str, lake: DirectoryLake, reference: Reference) -> list[Note]:
    keys = WINDOW.keys(lake, "interactions")
    reading = measuring = 0.0
    for key, _ in keys:
        began = time.perf_counter()
        batches = list(Reader(WINDOW, "m", reference.dimension).read(lake.read(key), key))
        reading += time.perf_counter() - began
        began = time.perf_counter()
        kernel = Kernel(reference)
        for batch in batches:
            kernel.add(batch)
        measuring += time.perf_counter() - began
    began = time.perf_counter()
    profile(lake, keys, WINDOW, reference, workers=1)
    whole = time.perf_counter() - began
    size = sum(size for _, size in keys) / ROWS
    share = reading / (reading + measuring)
    return [
        (name, f"{ROWS / whole:,.0f} rows/s on one core, {share:.0%} of it reading, {size:,.0f} bytes a row")
    ]


def _numbers(world: World, generator: np.random.Generator) -> str:
    """Measure the AWS sample's format: a list of numbers, read by the standard library."""
    rows = world.sample(2000, generator)
    lines = [json.dumps({"embedding": [float(value) for value in row]}) for row in rows]
    packed = gzip.compress("\n".join(lines).encode(), 6)
    began = time.perf_counter()
    np.array([json.loads(line)["embedding"] for line in gzip.decompress(packed).splitlines()], np.float32)
    seconds = time.perf_counter() - began
    return f"{len(rows) / seconds:,.0f} rows/s, {len(packed) / len(rows):,.0f} bytes a row"


if __name__ == "__main__":
    for what, value in formats():
        print(what, value)
