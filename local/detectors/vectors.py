"""Vectors of earlier runs, in ``build/``: a run asks mostly about the texts of the run before.

Only digests of texts are kept. A file that cannot be used is the same as none.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from local.detectors.minilm import WEIGHTS_SHA256, Array

PATH = Path(__file__).resolve().parents[2] / "build" / "embeddings.sqlite"
MOST = 20_000
"""Maximum vectors, which are some 30 MB; beyond it, the file is emptied."""
BUSY_SECONDS = 2.0


class KeptVectors:
    """A file of vectors. Not safe for threads; several processes may use it."""

    def __init__(self, path: Path = PATH) -> None:
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB NOT NULL)"
            )

    def find(self, texts: Iterable[str]) -> dict[str, Array]:
        """Return the vectors that are kept, by text."""
        found: dict[str, Array] = {}
        if self._database is None:
            return found
        with suppress(sqlite3.Error):
            for text in texts:
                row = self._database.execute(
                    "SELECT vector FROM vectors WHERE text = ?", (_digest(text),)
                ).fetchone()
                if row:
                    found[text] = np.frombuffer(row[0], np.float32)
        return found

    def keep(self, vectors: Mapping[str, Array]) -> None:
        """Keep the vectors of texts."""
        if self._database is None:
            return
        rows = [(_digest(text), vector.astype(np.float32).tobytes()) for text, vector in vectors.items()]
        with suppress(sqlite3.Error), self._database:
            (count,) = self._database.execute("SELECT count(*) FROM vectors").fetchone()
            if count + len(rows) > MOST:
                self._database.execute("DELETE FROM vectors")
            self._database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)


def _digest(text: str) -> bytes:
    """Return the digest of a text and of the model, whose other versions give other vectors."""
    return hashlib.sha256(f"{WEIGHTS_SHA256}\n{text}".encode("utf-8", "surrogatepass")).digest()
