"""Captured interactions, read back from the data lake: its objects on a disk, and SQL over them."""

# ruff: noqa: S608 - the SQL is made only of our own paths and column names

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from fmops.interaction import SCHEMA_VERSION, json_schema
from fmops.parallel import in_order
from fmops.partitions import earliest_hour, partition
from fmops.sql import files, literal

INTERACTIONS = "interactions"
"""Key prefix of the records."""
DATASET = Path(__file__).with_name("dataset.sql")
SCALARS = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
CHUNK = 1024 * 1024

_log = logging.getLogger(__name__)


@dataclass
class Reading:
    """A report of what was read and what was not, by name, so that someone can investigate."""

    objects: int = 0
    corrupt: list[str] = field(default_factory=list)
    """Keys of objects that are not complete gzip files; nothing of them is read."""
    vanished: list[str] = field(default_factory=list)
    """Keys of objects that were deleted between the listing and the reading."""
    foreign_lines: int = 0
    """Number of lines that are not captured records."""
    newer_records: int = 0
    """Number of records whose schema version is later than this code knows: deploy the newer code to read
    them.
    """


def fetch(
    s3: Any, bucket: str, directory: Path, *, first: date | None = None, last: date | None = None
) -> Reading:
    """Download the objects that may hold records of the days from ``first`` to ``last`` (UTC, inclusive).

    They go into ``directory``, several at a time, and hold other records too: a record's own time says which day it
    belongs to. A record that arrived a day late lies under the day after ``last``.
    """

    def bring(key: str) -> tuple[str, Exception | None]:
        path = directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(s3, bucket, key, path)
        except (zlib.error, EOFError, s3.exceptions.NoSuchKey) as error:
            path.unlink(missing_ok=True)
            return key, error
        return key, None

    reading = Reading()
    for key, error in in_order(bring, _keys(s3, bucket, first, last)):
        if error is None:
            reading.objects += 1
            continue
        skipped = reading.corrupt if isinstance(error, (zlib.error, EOFError)) else reading.vanished
        skipped.append(key)
        why = error if skipped is reading.corrupt else "it was deleted meanwhile"
        _log.warning("s3://%s/%s is skipped: %s", bucket, key, why)
    return reading


def _keys(s3: Any, bucket: str, first: date | None, last: date | None) -> Iterator[str]:
    """The keys in order, which is that of time."""
    prefix = f"{INTERACTIONS}/"
    midnight = datetime.combine(first, time(), UTC) if first else None
    after = {"StartAfter": f"{prefix}{partition(earliest_hour(midnight))}"} if midnight else {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}dt=", **after)
    for key in (item["Key"] for page in pages for item in page.get("Contents", [])):
        if last is not None and key[len(prefix) :] >= f"dt={last + timedelta(days=1)}":
            return
        yield key


def _download(s3: Any, bucket: str, key: str, path: Path) -> None:
    """Copy an object and decompress it on the way, to verify that it is complete."""
    stream = zlib.decompressobj(wbits=31)
    began = False
    with path.open("wb") as file:
        for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
            file.write(chunk)
            while chunk:
                began = True
                stream.decompress(chunk)
                # An object may consist of several gzip members in a row.
                chunk = stream.unused_data
                if chunk:
                    stream = zlib.decompressobj(wbits=31)
    if not began or not stream.eof:
        raise EOFError("the gzip data ends early")


def connect(
    directory: Path,
    *,
    memory: str = "512MB",
    threads: int | None = None,
    forgotten: Mapping[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with the fetched objects as the view ``interactions``, whose columns are the
    record's.

    ``forgotten`` holds requests of ``fmops.capture.forget``: interactions that began before them are not in the
    view. ``memory`` bounds what DuckDB holds in memory; the rest is written to disk beside the objects.
    """
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{memory}'")
    connection.execute(f"SET temp_directory = {literal(str(directory / 'duckdb'))}")
    connection.execute("SET preserve_insertion_order = false")
    if threads:
        connection.execute(f"SET threads = {threads}")
    columns = {name: _type(value, json_schema()) for name, value in json_schema()["properties"].items()}
    if not any(directory.glob(f"{INTERACTIONS}/*/*/*")):
        empty = ", ".join(f'NULL::{of} AS "{name}"' for name, of in columns.items())
        connection.execute(
            f"CREATE VIEW lines AS SELECT {empty}, NULL::VARCHAR AS dt, NULL::VARCHAR AS hour LIMIT 0"
        )
    else:
        listed = ", ".join(f"'{name}': '{of}'" for name, of in columns.items())
        connection.execute(
            f"""CREATE VIEW lines AS SELECT * EXCLUDE (object), {_partition("dt")}, {_partition("hour")}
                FROM read_json({files(directory, f"{INTERACTIONS}/*/*/*")},
                format = 'newline_delimited', compression = 'gzip', columns = {{{listed}}}, ignore_errors = true,
                maximum_object_size = 16777216, hive_partitioning = false, filename = 'object')"""
        )
    connection.execute("CREATE TABLE forgotten (name VARCHAR, moment VARCHAR)")
    if forgotten:
        connection.executemany("INSERT INTO forgotten VALUES (?, ?)", list(forgotten.items()))
    gone = 'EXISTS (FROM forgotten WHERE name = lines."user" AND lines.started_at < moment)'
    connection.execute(
        f"""CREATE VIEW interactions AS SELECT * FROM lines
            WHERE interaction_id IS NOT NULL AND schema_version <= {SCHEMA_VERSION} """
        f"{f'AND NOT {gone}' if forgotten else ''}"
    )
    return connection


def _partition(name: str) -> str:
    """Return the SQL of a column whose value the key holds, such as `dt`.

    DuckDB's own reading of partitions takes every `name=value` of the path, even above the lake's folder.
    """
    return f"regexp_extract(object, '.*/{INTERACTIONS}/(?:[^/]*/)?{name}=([^/]*)/', 1) AS {name}"


def count_forgotten(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of records that arrived after someone asked to forget them and are still in the
    lake.
    """
    [(count,)] = connection.execute(
        'SELECT count(*) FROM lines JOIN forgotten ON name = lines."user" AND lines.started_at < moment'
    ).fetchall()
    return int(count)


def count_unread(connection: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    """Add to ``reading`` the counts of records that the view ``interactions`` leaves out."""
    [counts] = connection.execute(
        f"""SELECT count(*) FILTER (interaction_id IS NULL), count(*) FILTER (schema_version > {SCHEMA_VERSION})
            FROM lines"""
    ).fetchall()
    reading.foreign_lines, reading.newer_records = counts


def dataset(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return one row per interaction with its feedback, like the Athena view of the same name."""
    return connection.sql(DATASET.read_text())


def _type(value: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return _type(root["$defs"][value["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in value:
        return next(_type(option, root) for option in value["anyOf"] if option.get("type") != "null")
    if value["type"] == "array":
        return f"{_type(value['items'], root)}[]"
    if value["type"] == "object":
        fields = (f'"{name}" {_type(field, root)}' for name, field in value["properties"].items())
        return f"STRUCT({', '.join(fields)})"
    return SCALARS[value["type"]]
