"""The Spark engine: the same kernel over the lake's objects, in `mapInArrow`, with a tree of merges.

For more than one machine can read: `python -m fmops.analysis.spark --help`. Workers need numpy, pyarrow and this package.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmops.analysis.lake import COLUMN_TYPES, DirectoryLake, Lake, Reader, S3Lake, Window, parse_time
from fmops.analysis.reference import Reference
from fmops.analysis.state import State, empty, merge

if TYPE_CHECKING:
    import pyarrow as pa


def profile(
    spark: Any,
    paths: Sequence[str],
    window: Window,
    reference: Reference,
    *,
    without_fitted: bool = False,
) -> State:
    """The window's state. ``paths`` are what Spark reads: `s3://...`, or files."""
    if not paths:
        return empty(reference)
    schema = ", ".join(f"`{name}` {kind}" for name, kind in COLUMN_TYPES.items())
    # PERMISSIVE: a line that is no JSON is a row of nulls, which the reader counts as unreadable.
    records = spark.read.schema(schema).json(list(paths))
    rows = records.selectExpr(
        "record_type",
        "interaction_id",
        "coalesce(nullif(session_id, ''), nullif(user, ''), interaction_id) AS session",
        "started_at",
        "coalesce(input, '') AS input",
        "embedding.model_id AS model",
        "embedding.dimension AS dimension",
        "unbase64(embedding.vector) AS vector",
        "array_max(transform(retrieved, item -> item.score)) AS similarity",
    )
    shared = spark.sparkContext.broadcast(reference.to_bytes())

    def measure(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from threadpoolctl import threadpool_limits

        from fmops.analysis.engine import not_fitted
        from fmops.analysis.kernel import Kernel

        known = Reference.from_bytes(shared.value)
        reader, kernel = Reader(window, known.model_id, known.dimension), Kernel(known)
        seen: set[str] = set()
        with threadpool_limits(1):
            for batch in batches:
                rows = reader.batch(pa.Table.from_batches([batch]), seen)
                kernel.add(not_fitted(rows) if without_fitted else rows)
        state = kernel.result()
        state.checks.update(reader.checks)
        state.models.update(reader.models)
        yield pa.RecordBatch.from_pydict({"state": [state.to_bytes()], "texts": [_packed(state.texts())]})

    states = rows.mapInArrow(measure, "state binary, texts binary").rdd.map(
        lambda row: State.from_bytes(bytes(row.state), _unpacked(bytes(row.texts)))
    )
    total: State = states.treeReduce(lambda left, right: merge([left, right]), depth=2)
    return merge([empty(reference), total])


def _packed(texts: dict[str, str]) -> bytes:
    import json

    return json.dumps(texts).encode()


def _unpacked(data: bytes) -> dict[str, str]:
    import json

    texts: dict[str, str] = json.loads(data)
    return texts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fmops.analysis.spark", description=__doc__)
    parser.add_argument(
        "--lake", required=True, help="bucket of the lake, or a directory that has a copy of it"
    )
    parser.add_argument("--reference", required=True, help="key of the reference's file in the lake")
    parser.add_argument("--from", dest="start", required=True, type=parse_time)
    parser.add_argument("--to", dest="end", required=True, type=parse_time)
    parser.add_argument("--prefix", default="interactions")
    parser.add_argument("--output", required=True, help="key that the window's state is written to")
    options = parser.parse_args(arguments)
    lake, root = _lake(options.lake)
    data = lake.read(options.reference)
    if data is None:
        print(f"there is no {options.reference} in {options.lake}", file=sys.stderr)  # noqa: T201
        return 2
    window = Window(options.start, options.end)
    paths = [f"{root}/{key}" for key, _ in window.keys(lake, options.prefix)]
    # Workers of a local session run the Python that started it; a cluster's configuration says another.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(f"fmops analysis {_day(options.start)}").getOrCreate()
    try:
        state = profile(spark, paths, window, Reference.from_bytes(data))
    finally:
        spark.stop()
    lake.write(options.output, state.to_bytes())
    print(f"{state.count} rows of {len(paths)} objects")  # noqa: T201 - the job's log
    return 0


def _lake(name: str) -> tuple[Lake, str]:
    return (DirectoryLake(Path(name)), name) if Path(name).is_dir() else (S3Lake(name), f"s3://{name}")


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


if __name__ == "__main__":
    sys.exit(main())
