"""Findings of texts already checked, by keyed hash; no content is stored."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from fmops.guardrails.types import Direction, Finding, Role


@dataclass(frozen=True, slots=True)
class Known:
    """The findings of the detectors that were asked about a text, all of which answered, and its hidden spans."""

    findings: tuple[Finding, ...]
    detectors: tuple[str, ...]
    language: str
    removals: tuple[tuple[int, int], ...] = ()
    """Spans of hidden characters."""


class Cache:
    """Findings of the most recently used texts, dropped after ``seconds``. Safe to use from several threads."""

    def __init__(self, entries: int, seconds: float) -> None:
        self._entries = entries
        self._seconds = seconds
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[float, Known]] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, text: str, direction: Direction, role: Role) -> bytes:
        return blake2b(f"{direction}\0{role}\0{text}".encode(), key=self._key, digest_size=16).digest()

    def get(self, key: bytes) -> Known | None:
        with self._lock:
            entry = self._known.get(key)
            if entry is None:
                return None
            stored, known = entry
            if time.monotonic() - stored > self._seconds:
                del self._known[key]
                return None
            self._known.move_to_end(key)
            return known

    def put(self, key: bytes, known: Known) -> None:
        if not self._entries:
            return
        with self._lock:
            self._known[key] = (time.monotonic(), known)
            self._known.move_to_end(key)
            while len(self._known) > self._entries:
                self._known.popitem(last=False)
