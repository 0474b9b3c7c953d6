"""Records that wait on disk while the delivery stream is away."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from fmops import json_lines

SUFFIX = ".jsonl"
PARTIAL = ".partial"
CORRUPT = ".corrupt"


class SpoolFullError(Exception):
    """The spool has no room: the records were not written."""


class Spool:
    """A bounded directory of segments, each one batch of JSON lines, oldest first.

    A segment is written aside and renamed, so that a reader never sees half of one; what a killed process left
    aside is taken over at the next start, up to its last whole line.
    """

    def __init__(self, directory: Path, *, limit_bytes: int = 256 * 1024 * 1024) -> None:
        self._directory = directory
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._sequence = count()
        directory.mkdir(parents=True, exist_ok=True)
        for partial in sorted(directory.glob(f"*{PARTIAL}")):
            partial.rename(partial.with_suffix(SUFFIX))
        self._bytes = sum(segment.stat().st_size for segment in self.segments())
        self._lines = {segment.name: _count_lines(segment) for segment in self.segments()}

    def segments(self) -> list[Path]:
        """The waiting segments, oldest first."""
        return sorted(self._directory.glob(f"*{SUFFIX}"))

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep ``lines``, each with its newline. Raises ``SpoolFullError`` over the limit, ``OSError`` when the disk refuses."""
        size = sum(map(len, lines))
        with self._lock:
            if self._bytes + size > self._limit:
                raise SpoolFullError(f"{self._directory}: {self._bytes} of {self._limit} bytes used")
            name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._sequence):06d}"
            partial = self._directory / f"{name}{PARTIAL}"
            try:
                with partial.open("wb") as file:
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(partial.with_suffix(SUFFIX))
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            self._bytes += size
            self._lines[f"{name}{SUFFIX}"] = len(lines)

    def read(self, segment: Path) -> tuple[list[bytes], int]:
        """The whole lines of a segment, and how many pieces of it are not lines and were set aside."""
        lines: list[bytes] = []
        broken: list[bytes] = []
        for line in json_lines.split(segment.read_bytes(), keepends=True):
            (lines if _is_whole(line) else broken).append(line)
        broken = [line for line in broken if line.strip()]
        if broken:
            segment.with_suffix(CORRUPT).write_bytes(b"".join(broken))
            with self._lock:
                segment.write_bytes(b"".join(lines))
                self._bytes -= sum(map(len, broken))
                self._lines[segment.name] = len(lines)
        return lines, len(broken)

    def remove(self, segment: Path) -> None:
        """Forget a segment that was delivered."""
        with self._lock:
            size = segment.stat().st_size
            segment.unlink()
            self._bytes -= size
            self._lines.pop(segment.name, None)

    def waiting(self) -> int:
        """How many lines wait."""
        with self._lock:
            return sum(self._lines.values())


def _count_lines(segment: Path) -> int:
    try:
        with segment.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0  # reading it again, later, reports what is wrong with it


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
