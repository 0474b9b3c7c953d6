"""The chunks of an index on the function's disk, so that memory does not grow with them."""

import base64
import gzip
import json
import sqlite3
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

URI = "x-amz-bedrock-kb-source-uri"
SOURCE = "x-amz-bedrock-kb-data-source-id"
PAGE = "x-amz-bedrock-kb-document-page-number"

SCHEMA = """
CREATE TABLE passages (
    document TEXT, key TEXT, source TEXT, page REAL, facts TEXT, vector BLOB
);
CREATE INDEX places ON passages (document, source, key);
"""
INSERT = "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Passage:
    """A chunk: its document, the vector's key, the data source that wrote it, its page, facts of the sidecar, and the
    vector as little-endian float16, None where it is not needed."""

    document: str
    key: str
    source: str
    page: float | None
    facts: str
    vector: bytes | None

    @classmethod
    def of(
        cls, listed: Mapping[str, Any], document: str, wanted: Collection[str], facts: Iterable[str]
    ) -> "Passage":
        """Return a vector of ListVectors as a passage."""
        metadata = listed.get("metadata", {})
        values = listed["data"]["float32"] if document in wanted else None
        told = {name: str(metadata[name]) for name in facts if name in metadata}
        return cls(
            document,
            listed["key"],
            str(metadata.get(SOURCE, "")),
            metadata.get(PAGE),
            json.dumps(told),
            struct.pack(f"<{len(values)}e", *values) if values is not None else None,
        )


class Passages:
    """The chunks of an index, in a database that lasts as long as its folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._database = sqlite3.connect(directory / "passages.sqlite")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(SCHEMA)

    def add(self, passages: Iterable[Passage]) -> None:
        """Add chunks."""
        with self._database:
            rows = ((p.document, p.key, p.source, p.page, p.facts, p.vector) for p in passages)
            self._database.executemany(INSERT, rows)

    def chunks(self, source: str) -> dict[str, int]:
        """Return the number of chunks by document, of those that a data source wrote."""
        query = "SELECT document, COUNT(*) FROM passages WHERE source = ? GROUP BY document"
        return dict(self._database.execute(query, (source,)))

    def facts(self) -> dict[str, dict[str, str]]:
        """Return the facts of each document, as its first chunk has them."""
        query = "SELECT document, facts, MIN(key) FROM passages GROUP BY document"
        return {document: json.loads(facts) for document, facts, _ in self._database.execute(query)}

    def of_other_sources(self, source: str) -> int:
        """Return the number of chunks that another data source wrote."""
        counted = self._database.execute("SELECT COUNT(*) FROM passages WHERE source <> ?", (source,))
        return int(counted.fetchone()[0])

    @contextmanager
    def packed(self, document: str, source: str) -> Iterator[BinaryIO]:
        """Yield a gzipped file of a document's vectors as JSON lines, always the same for the same vectors."""
        query = "SELECT page, vector FROM passages WHERE document = ? AND source = ? ORDER BY key"
        path = self._directory / "vectors.jsonl.gz"
        with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
            for page, vector in self._database.execute(query, (document, source)):
                line = {"page": page, "vector": base64.b64encode(vector).decode()}
                file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        with path.open("rb") as written:
            yield written
