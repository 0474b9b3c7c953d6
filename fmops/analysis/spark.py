"""The Spark engine: the embedded engine's tasks on a cluster's workers, in `mapInArrow`, with a tree of merges.

It serves windows that are too large for one machine: `python -m fmops.analysis.spark --help`. A gzip object
cannot be split, so work is divided by object, and each is read by the same reader: the same rows count as
unreadable, repeated or corrupt in both engines.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmops.analysis.engine import TASK_BYTES, profile_task, tasks
from fmops.analysis.lake import DirectoryLake, Lake, S3Lake, Window, parse_time
from fmops.analysis.reference import Reference
from fmops.analysis.state import State, empty, merge

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "state binary, texts binary"


def profile(
    spark: Any,
    lake: Lake,
    keys: Sequence[tuple[str, int]],
    window: Window,
    reference: Reference,
    *,
    without_fitted: bool = False,
    task_bytes: int = TASK_BYTES,
) -> State:
    """Return the window's state, equal to that of ``fmops.analysis.engine.profile``. ``keys`` lists objects and
    their bytes."""
    work = [(json.dumps(task),) for task in tasks(keys, task_bytes)]
    if not work:
        return empty(reference)
    shared = spark.sparkContext.broadcast(reference.to_bytes())

    def measure(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        known = Reference.from_bytes(shared.value)
        for batch in batches:
            for text in batch.column(0).to_pylist():
                task = [(key, size) for key, size in json.loads(text)]
                state = profile_task((lake, task, window, known, without_fitted))
                yield pa.RecordBatch.from_pydict({"state": [state.to_bytes()], "texts": [pack_texts(state)]})

    rows = spark.createDataFrame(work, "task string").repartition(len(work))
    states = rows.mapInArrow(measure, SCHEMA).rdd.map(lambda row: unpack(bytes(row.state), bytes(row.texts)))
    total: State = states.treeReduce(lambda left, right: merge([left, right]), depth=2)
    return merge([empty(reference), total])


def pack_texts(state: State) -> bytes:
    """Return the texts of the examples, which are stored apart from the state."""
    return gzip.compress(json.dumps(state.texts()).encode(), mtime=0)


def unpack(state: bytes, texts: bytes) -> State:
    return State.from_bytes(state, json.loads(gzip.decompress(texts)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fmops.analysis.spark", description=__doc__)
    parser.add_argument(
        "--lake", required=True, help="bucket of the lake, or a directory that holds a copy of it"
    )
    parser.add_argument("--reference", required=True, help="key of the reference's file in the lake")
    parser.add_argument("--from", dest="start", required=True, type=parse_time)
    parser.add_argument("--to", dest="end", required=True, type=parse_time)
    parser.add_argument("--prefix", default="interactions")
    parser.add_argument(
        "--without-fitted", action="store_true", help="leave out the sessions that baselines are fitted to"
    )
    parser.add_argument(
        "--task-mib",
        type=int,
        default=TASK_BYTES >> 20,
        help=("MiB of objects that one task reads; it reads at least one object"),
    )
    parser.add_argument("--output", required=True, help="key under which to write the window's state")
    parser.add_argument("--texts", required=True, help="key under which to write the texts of its examples")
    options = parser.parse_args(arguments)
    lake: Lake = DirectoryLake(Path(options.lake)) if Path(options.lake).is_dir() else S3Lake(options.lake)
    data = lake.read(options.reference)
    if data is None:
        print(f"there is no {options.reference} in {options.lake}", file=sys.stderr)  # noqa: T201
        return 2
    window = Window(options.start, options.end)
    keys = window.keys(lake, options.prefix)
    # Workers of a local session run the Python that started it; a cluster's configuration names another.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(f"fmops analysis {window.id}").getOrCreate()
    try:
        reference = Reference.from_bytes(data)
        state = profile(
            spark,
            lake,
            keys,
            window,
            reference,
            without_fitted=options.without_fitted,
            task_bytes=options.task_mib << 20,
        )
    finally:
        spark.stop()
    lake.write(options.texts, pack_texts(state))
    lake.write(options.output, state.to_bytes())
    print(f"{state.count} rows of {len(keys)} objects")  # noqa: T201 - the job's log
    return 0


if __name__ == "__main__":
    sys.exit(main())
