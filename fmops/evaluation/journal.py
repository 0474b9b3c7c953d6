"""A journal of what has been paid for: answers and verdicts, by the fingerprint of everything that decided
them.

An interrupted evaluation continues from here, and production's answers are not requested again for each
candidate. Entries hold content. ``s3://`` journals are for jobs, whose disks end with them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4


class Store(Protocol):
    """A store of texts by their keys."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, text: str) -> None: ...


class Journal:
    """Find and store entries, and count both."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.saved: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()

    @classmethod
    def at(cls, place: str) -> Journal:
        """Return a journal in a folder, or under ``s3://bucket/prefix``."""
        return cls(S3Store(place) if place.startswith("s3://") else FolderStore(Path(place)))

    def find(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return an entry, which is then counted as saved."""
        text = self._store.get(f"{kind}/{key}.json")
        if text is None:
            return None
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:  # cut off by a full disk, for example: it is paid for again
            return None
        with self._lock:
            self.saved[kind] += 1
        return found

    def keep(self, kind: str, key: str, entry: dict[str, Any]) -> None:
        """Store an entry that was paid for."""
        self._store.put(f"{kind}/{key}.json", json.dumps(entry, ensure_ascii=False))
        with self._lock:
            self.paid[kind] += 1


class FolderStore:
    """A file for each entry, written completely or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> str | None:
        path = self._folder / key
        return path.read_text() if path.exists() else None

    def put(self, key: str, text: str) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{uuid4().hex}")
        part.write_text(text)
        part.replace(path)


class S3Store:
    """An S3 object for each entry."""

    def __init__(self, uri: str) -> None:
        import boto3

        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = prefix.strip("/")
        self._s3 = boto3.client("s3")

    def get(self, key: str) -> str | None:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}")
        except self._s3.exceptions.NoSuchKey:
            return None
        return str(answer["Body"].read().decode())

    def put(self, key: str, text: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}", Body=text.encode())


def key(*parts: str) -> str:
    """Return a fingerprint of texts, in their order."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
