"""The embedded engine on a lake of a million captured interactions, as capture writes them and as Parquet.

`python -m checks.bench.drift_lake` writes the lake once to `build/drift-lake` (some 3 GB). For each format it
prints the whole job's time on all cores, its peak memory, and the share of the time of one object that is
reading; and it compares the reading of one object with what no reader of JSON lines can leave out. `--rows`
makes the lake smaller.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from threadpoolctl import threadpool_limits

from checks.bench.drift_formats import WINDOW, _record
from checks.bench.drift_world import World
from checks.bench.report import Entry, Note, entry, median_ratio, publish
from fmops import json_lines
from fmops.analysis.engine import profile
from fmops.analysis.kernel import Kernel
from fmops.analysis.lake import COLUMNS, DirectoryLake, Reader
from fmops.analysis.reference import Reference, fit

LAKE = Path("build/drift-lake")
ROWS, PER_OBJECT = 1_000_000, 50_000
ROUNDS = 3
FORMATS = {"gzip": "gzip JSON lines, base64 float16", "parquet": "Parquet, base64 float16"}


def reference() -> Reference:
    return fit(World(1).sample(5000, np.random.default_rng(1)), version="bench", model_id="m")


def write_object(number: int) -> int:
    """Write one object in both formats, and return its number of rows."""
    import duckdb

    key = f"interactions/dt=2026-11-01/hour={number % 24:02}/{number:03}"
    source, target = LAKE / "gzip" / f"{key}.gz", LAKE / "parquet" / f"{key}.parquet"
    if not target.exists():
        for path in (source, target):
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = World(1).sample(PER_OBJECT, np.random.default_rng([2, number]))
        lines = (_record(number % 10, index, row).line() for index, row in enumerate(rows))
        source.write_bytes(gzip.compress(b"".join(lines), 6))
        duckdb.sql(
            f"COPY (SELECT * FROM read_json('{source}', columns={COLUMNS}, compression='gzip')) TO"
            f" '{target}' (FORMAT parquet)"
        )
    return PER_OBJECT


def measure(kind: str) -> dict[str, float]:
    """Measure the whole window on all cores, in this process and its workers; the peak is the largest
    worker's.
    """
    lake, known = DirectoryLake(LAKE / kind), reference()
    keys = WINDOW.keys(lake, "interactions")
    began = time.perf_counter()
    state = profile(lake, keys, WINDOW, known)
    seconds = time.perf_counter() - began
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rows": state.count,
        "seconds": seconds,
        "cpu": children.ru_utime + children.ru_stime,
        "peak_mib": children.ru_maxrss / 1024,
        "bytes_a_row": sum(size for _, size in keys) / max(state.count, 1),
        "reading": _reading_share(lake, keys[0][0], known),
    }


def _reading_share(lake: DirectoryLake, key: str, known: Reference) -> float:
    """Return the share of reading in the processor time that one core takes for one object."""
    reading, measuring, kernel = 0.0, 0.0, Kernel(known)
    with threadpool_limits(1):
        began = time.process_time()
        for batch in Reader(WINDOW, "m", known.dimension).read(lake.read(key), key):
            read = time.process_time()
            kernel.add(batch)
            ended = time.process_time()
            reading, measuring, began = reading + read - began, measuring + ended - read, ended
    return reading / (reading + measuring)


def against_parsing(lake: DirectoryLake, key: str) -> tuple[Entry, Note]:
    """Compare reading an object, vectors and all, with unpacking it and parsing its lines alone."""
    data, reading, parsing, rows = lake.read(key), [], [], 0
    assert data is not None
    for _ in range(ROUNDS):
        began = time.process_time()
        rows = sum(len(batch) for batch in Reader(WINDOW, "m", None).read(data, key))
        reading.append(time.process_time() - began)
        began = time.process_time()
        for line in json_lines.split(gzip.decompress(data)):
            orjson.loads(line)
        parsing.append(time.process_time() - began)
    against = "unpacking the same object and orjson.loads of its lines"
    measured = entry(median_ratio(reading, parsing), "ratio", "<= 1.25", against, ROUNDS)
    seconds, least = statistics.median(reading), statistics.median(parsing)
    return measured, ("reading", f"{rows / seconds:,.0f} rows/s and core; {against}: {rows / least:,.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.bench.drift_lake", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--one", choices=FORMATS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    objects = max(1, options.rows // PER_OBJECT)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for number, _ in enumerate(pool.map(write_object, range(objects)), 1):
            print(f"\r  object {number} of {objects}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    notes = []
    for kind, name in FORMATS.items():
        command = [sys.executable, "-m", "checks.bench.drift_lake", "--one", kind]
        answer: dict[str, Any] = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        )
        figures = (
            f"{answer['rows']:,.0f} rows in {answer['seconds']:.1f} s"
            f" ({answer['rows'] / answer['seconds']:,.0f} rows/s, {answer['cpu']:.1f} CPU s),"
            f" {answer['reading']:.0%} reading, peak {answer['peak_mib']:,.0f} MiB a worker,"
            f" {answer['bytes_a_row']:,.0f} bytes a row"
        )
        notes.append((name, figures))
    captured = DirectoryLake(LAKE / "gzip")
    measured, note = against_parsing(captured, WINDOW.keys(captured, "interactions")[0][0])
    publish({"analysis.reading_vs_parsing": measured}, [*notes, note])
    return 0


if __name__ == "__main__":
    sys.exit(main())
