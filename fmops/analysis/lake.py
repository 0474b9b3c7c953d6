"""Reading captured interactions: from the data lake's objects to batches of rows, with what was wrong with them."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmops.analysis.kernel import Batch
from fmops.analysis.reference import Array
from fmops.parallel import PATIENT
from fmops.partitions import LONGEST_BUFFER, earliest_hour
from fmops.sql import files

ROWS = 8192
LATE = timedelta(hours=1)
"""A record may arrive at the delivery stream so long after its interaction began: turns are long, and
records wait for a batch or a retry.
"""
HOUR = timedelta(hours=1)
DATE_KEY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})/hour=(\d{2})/")

COLUMNS = (
    "{record_type: 'VARCHAR', interaction_id: 'VARCHAR', trace_id: 'VARCHAR', session_id: 'VARCHAR', "
    "user: 'VARCHAR', started_at: 'VARCHAR', "
    "input: 'VARCHAR', retrieved: 'STRUCT(score DOUBLE)[]', "
    "embedding: 'STRUCT(model_id VARCHAR, dimension INTEGER, vector VARCHAR)'}"
)
# "user" is quoted: it is a keyword of SQL.
SELECT = """
SELECT record_type, interaction_id, coalesce(nullif(session_id, ''), nullif("user", ''), interaction_id) AS session,
  coalesce(trace_id, '') AS trace_id, started_at, coalesce(input, '') AS input, embedding.model_id AS model,
  embedding.dimension AS dimension, try(from_base64(embedding.vector)) AS vector,
  list_max([item.score FOR item IN retrieved]) AS similarity
FROM {source}
"""
TRACE_ID = re.compile(r"[0-9a-f]{32}")
TIME = re.compile(r"[0-9T:.Z-]+")


class Lake(Protocol):
    """Where objects are: the data lake's bucket, or a directory."""

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys below the prefix and their sizes in bytes, in order."""

    def read(self, key: str) -> bytes | None:
        """The object, or None when there is none."""

    def write(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Replaces the object."""


_making = threading.Lock()


@dataclass
class S3Lake:
    """A bucket. Picklable: each process makes a client of its own."""

    bucket: str
    _client: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "_client": None}

    @property
    def client(self) -> Any:
        # To make a client is nothing that threads may do at once.
        with _making:
            if self._client is None:
                import boto3

                self._client = boto3.client("s3", config=PATIENT)
            return self._client

    def list(self, prefix: str) -> list[tuple[str, int]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes | None:
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return body

    def write(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type)


@dataclass
class DirectoryLake:
    """A directory with the lake's keys as paths: for tests, benchmarks and a copy of the lake."""

    root: Path

    def list(self, prefix: str) -> list[tuple[str, int]]:
        files = sorted(path for path in self.root.rglob("*") if path.is_file())
        keys = [(path.relative_to(self.root).as_posix(), path.stat().st_size) for path in files]
        return [(key, size) for key, size in keys if key.startswith(prefix)]

    def read(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.is_file() else None

    def write(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@dataclass(frozen=True)
class Window:
    """A span of time that interactions are looked at together in. Times in UTC."""

    start: datetime
    end: datetime

    @property
    def id(self) -> str:
        """The day, or the day and hour when it does not begin at midnight or is no whole number of days."""
        whole = self.start.hour == 0 and (self.end - self.start) % timedelta(days=1) == timedelta(0)
        return self.start.strftime("%Y-%m-%d" if whole else "%Y-%m-%dT%H")

    def holds(self, started_at: str) -> bool:
        return _text(self.start) <= started_at < _text(self.end)

    @property
    def begun(self) -> tuple[datetime, datetime]:
        """From when, and until before when, objects were begun that may hold its interactions."""
        return earliest_hour(self.start), self.end + LATE

    @property
    def near(self) -> tuple[datetime, datetime]:
        """From when, and until before when, interactions began that lie in these objects if no clock is
        wrong.
        """
        first, last = self.begun
        whole = last.replace(minute=0, second=0, microsecond=0)
        return first - LATE, (whole if whole == last else whole + HOUR) + LONGEST_BUFFER

    def keys(self, lake: Lake, prefix: str) -> list[tuple[str, int]]:
        """Objects that may hold its interactions: those begun in it, shortly before and shortly after."""
        return self._keys(lake, prefix, *self.begun)

    def has_objects(self, lake: Lake, prefix: str) -> bool:
        """Whether an object was begun in it."""
        return bool(self._keys(lake, prefix, self.start, self.end))

    def _keys(self, lake: Lake, prefix: str, first: datetime, last: datetime) -> list[tuple[str, int]]:
        days = [first.date() + timedelta(days=n) for n in range((last.date() - first.date()).days + 1)]
        found = [item for day in days for item in lake.list(f"{prefix}/dt={day}/")]
        return [(key, size) for key, size in found if _is_between(key, first, last)]


def _is_between(key: str, first: datetime, last: datetime) -> bool:
    """Whether the hour that a key names overlaps a span; one that names none may."""
    match = DATE_KEY.search(key)
    if match is None:
        return True
    hour = datetime.fromisoformat(f"{match[1]}T{match[2]}:00:00+00:00")
    return first < hour + HOUR and hour < last


def windows(start: datetime, end: datetime, *, hours: int) -> list[Window]:
    """The windows of a range, the last of which may end after it. ValueError when the range is empty."""
    if end <= start:
        raise ValueError(
            f"the range from {start:%Y-%m-%d} to {end:%Y-%m-%d} is empty: FROM must be before TO"
        )
    step = timedelta(hours=hours)
    count = -(-(end - start) // step)
    return [Window(start + n * step, start + (n + 1) * step) for n in range(count)]


def parse_time(text: str) -> datetime:
    """A date or time in ISO 8601; UTC when it names no offset. ValueError that says what is allowed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 2026-11-12 or 2026-11-12T06:00") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class CorruptObjectError(Exception):
    """An object cannot be read to its end."""


@dataclass
class Reader:
    """Reads the rows of a window. ``checks`` and ``models`` count what was met, over all objects."""

    window: Window
    model_id: str | None = None
    dimension: int | None = None
    checks: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def read(self, data: bytes | None, key: str) -> Iterator[Batch]:
        """Return the object's rows of the reader's model.

        Raises ``CorruptObjectError`` when the object ends early or is not what its name says.
        """
        if data is None:
            raise CorruptObjectError(f"{key} is gone")
        suffix = ".parquet" if data[:4] == b"PAR1" else ".jsonl.gz" if data[:2] == b"\x1f\x8b" else ".jsonl"
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(data)
            file.flush()
            del data
            yield from self.read_file(Path(file.name), key)

    def read_file(self, path: Path, name: str) -> Iterator[Batch]:
        import duckdb

        file = files(path.parent, path.name)
        packed = "gzip" if path.suffix == ".gz" else "none"
        source = (
            f"read_parquet({file}, hive_partitioning=false)"
            if path.suffix == ".parquet"
            else f"read_json({file}, format='newline_delimited', ignore_errors=true, columns={COLUMNS},"
            f" compression='{packed}', hive_partitioning=false)"
        )
        seen: set[str] = set()
        with _database().cursor() as connection:
            try:
                for rows in connection.sql(SELECT.format(source=source)).to_arrow_reader(ROWS):
                    yield self.batch(rows, seen)
            except (duckdb.Error, pa.ArrowException) as error:
                reason = str(error).split("\n")[0].removesuffix(str(path)).rstrip(": ")
                raise CorruptObjectError(f"{name}: {reason}") from error

    def batch(self, table: pa.RecordBatch, seen: set[str]) -> Batch:
        """The rows that can be measured; the others are counted by what is wrong with them."""
        kept = self._measurable(table, self._of_the_window(table, seen))
        # Filtered once, because each filter copies the vectors.
        table = table if kept.all() else table.filter(pa.array(kept))
        return Batch(
            vectors=_vectors(table["vector"], self.dimension or 0),
            ids=table["interaction_id"].to_pylist(),
            sessions=table["session"].to_pylist(),
            texts=Texts(table["input"]),
            similarities=table["similarity"].to_numpy(zero_copy_only=False).astype(np.float32),
            traces=Traces(table["trace_id"], table["started_at"]),
        )

    def _measurable(self, table: pa.RecordBatch, kept: Array) -> Array:
        """Which of the rows have a vector of the reader's model and dimension."""
        kept = self._count("no_embedding", kept, kept & _mask(pc.is_valid(table["vector"])))
        if not kept.any():
            return kept
        models = table["model"]
        for found in models.filter(pa.array(kept)).value_counts().to_pylist():
            self.models[found["values"]] += found["counts"]
        if self.model_id is None:
            self.model_id = models[int(kept.argmax())].as_py()
        kept = self._count("other_model", kept, kept & _mask(pc.equal(models, self.model_id)))
        if self.dimension is None and kept.any():
            self.dimension = table["dimension"][int(kept.argmax())].as_py()
        fits = pc.equal(pc.binary_length(table["vector"]), 2 * (self.dimension or 0))
        return self._count("other_dimension", kept, kept & _mask(fits))

    def _of_the_window(self, table: pa.RecordBatch, seen: set[str]) -> Array:
        """Which of the rows are interactions of the window that were not seen yet."""
        identifiers, started = table["interaction_id"], table["started_at"]
        every = np.ones(len(table), bool)
        known = _mask(pc.and_(pc.is_valid(identifiers), pc.is_valid(started)))
        kept = self._count("unreadable", every, known)
        kept = kept & _mask(pc.equal(pc.fill_null(table["record_type"], "interaction"), "interaction"))
        # A neighbour's are its own affair; what is farther off than a delivery takes was stamped by a wrong clock.
        self._count("wrong_clock", kept, kept & _between(started, *self.window.near))
        kept = kept & _between(started, self.window.start, self.window.end)
        ids = identifiers.filter(pa.array(kept)).to_pylist()
        first = [each not in seen and not seen.add(each) for each in ids]  # type: ignore[func-returns-value]
        inside = np.flatnonzero(kept)
        kept[inside[np.logical_not(first)]] = False
        self.checks["repeated"] += len(inside) - sum(first)
        self.checks["interactions"] += sum(first)
        return kept

    def _count(self, check: str, before: Array, after: Array) -> Array:
        """Count the rows that are left out under a check; return those that stay."""
        self.checks[check] += int(before.sum()) - int(after.sum())
        return after


@dataclass(frozen=True)
class Texts(Sequence[str]):
    """A column whose values become strings when they are asked for, since few are."""

    column: pa.StringArray

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: Any) -> Any:
        return self.column[row].as_py()


@dataclass(frozen=True)
class Traces(Sequence[str]):
    """Queries of the page Why, written when they are asked for, since few are."""

    trace_ids: pa.StringArray
    started_at: pa.StringArray

    def __len__(self) -> int:
        return len(self.trace_ids)

    def __getitem__(self, row: Any) -> Any:
        trace_id, started_at = self.trace_ids[row].as_py(), self.started_at[row].as_py()
        known = TRACE_ID.fullmatch(trace_id) and TIME.fullmatch(started_at)
        return f"trace={trace_id}&at={started_at}" if known else ""


def _mask(values: pa.BooleanArray) -> Array:
    """Return true, false and null as a mask, in which null is false."""
    mask: Array = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _between(times: pa.StringArray, first: datetime, last: datetime) -> Array:
    return _mask(pc.and_(pc.greater_equal(times, _text(first)), pc.less(times, _text(last))))


@cache
def _database() -> Any:
    """One in-memory database for the process: to make one takes longer than to read a small object."""
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _vectors(column: pa.BinaryArray, dimension: int) -> Array:
    """Unpack float16 of equal length, shape ``[n, dimension]``, without a Python object for each."""
    if not len(column):
        return np.zeros((0, dimension), np.float32)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    packed = np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    vectors: Array = packed.view("<f2").reshape(len(column), dimension).astype(np.float32)
    return vectors


def _text(moment: datetime) -> str:
    """As records write their times, which sorts."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
