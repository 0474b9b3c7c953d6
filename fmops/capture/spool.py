"""Records that wait on disk while the delivery stream is unavailable."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from fmops import json_lines

SUFFIX = ".jsonl"
PARTIAL = ".partial"
CORRUPT = ".corrupt"
LOCK = ".lock"

_log = logging.getLogger(__name__)


class SpoolFullError(Exception):
    """The spool has no room: the records were not written."""


class _Size(NamedTuple):
    bytes: int
    lines: int


class Spool:
    """A bounded directory of segments, each one batch of JSON lines, oldest first.

    A segment is written under another name and renamed, so that no reader sees half of one. Unfinished files of
    a killed process are taken over by the next owner, up to their last whole line. Any number of processes may
    write to the directory; the one that owns it delivers. ``durable`` says that the directory outlives the
    task, which the disk of a Fargate task does not.
    """

    def __init__(
        self, directory: Path, *, limit_bytes: int = 256 * 1024 * 1024, durable: bool = False
    ) -> None:
        self.durable = durable
        self._directory = directory
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._sequence = count()
        self._owned: int | None = None
        self._sizes: dict[str, _Size] = {}
        self._bytes = 0
        self._delivered: set[str] = set()
        """Segments that were delivered but could not be deleted: one process never sends them twice."""
        directory.mkdir(parents=True, exist_ok=True)
        self.segments()

    def own(self) -> bool:
        """Return whether this process delivers the segments. Raises ``OSError`` when the disk fails."""
        with self._lock:
            if self._owned is None:
                self._owned = _locked(self._directory)
                if self._owned is not None:
                    self._take_over()
            return self._owned is not None

    def disown(self) -> None:
        """Allow another process to deliver."""
        with self._lock:
            if self._owned is not None:
                os.close(self._owned)
                self._owned = None

    def segments(self) -> list[Path]:
        """Return the waiting segments, oldest first."""
        found = sorted(self._directory.glob(f"*{SUFFIX}"))
        with self._lock:
            self._delivered &= {each.name for each in found}
            waiting = [each for each in found if each.name not in self._delivered]
            self._sizes = {each.name: self._sizes.get(each.name) or _size(each) for each in waiting}
            self._bytes = sum(size.bytes for size in self._sizes.values())
        return waiting

    def write(self, lines: Sequence[bytes]) -> None:
        """Store ``lines``, each with its newline. Raises ``SpoolFullError`` over the limit, ``OSError`` when
        the disk fails."""
        size = sum(map(len, lines))
        with self._lock:
            if self._bytes + size > self._limit:
                raise SpoolFullError(f"{self._directory}: {self._bytes} of {self._limit} bytes used")
            name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._sequence):06d}"
            partial = self._directory / f"{name}{PARTIAL}"
            try:
                with partial.open("wb") as file:
                    # Locked until it is renamed, so that it is not mistaken for the file of a killed process.
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
                    partial.rename(partial.with_suffix(SUFFIX))
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            self._sizes[f"{name}{SUFFIX}"] = _Size(size, len(lines))
            self._bytes += size

    def read(self, segment: Path) -> tuple[list[bytes], list[bytes]]:
        """Return the whole lines of a segment, and its broken pieces."""
        lines: list[bytes] = []
        broken: list[bytes] = []
        for line in json_lines.split(segment.read_bytes(), keepends=True):
            (lines if _is_whole(line) else broken).append(line)
        return lines, [line for line in broken if line.strip()]

    def remove(self, segment: Path, broken: Sequence[bytes] = ()) -> None:
        """Delete a segment that was delivered, and keep its ``broken`` pieces beside it.

        Raises ``OSError`` when the disk fails; even then, the segment is not delivered again.
        """
        with self._lock:
            self._delivered.add(segment.name)
            self._bytes -= self._sizes.pop(segment.name, _Size(0, 0)).bytes
            if broken:
                try:
                    segment.with_suffix(CORRUPT).write_bytes(b"".join(broken))
                except OSError:
                    # A full disk cannot take a new file, but it can rename one.
                    segment.rename(segment.with_suffix(CORRUPT))
            segment.unlink(missing_ok=True)

    def waiting(self) -> int:
        """Return the number of waiting lines."""
        with self._lock:
            return sum(size.lines for size in self._sizes.values())

    def _take_over(self) -> None:
        for partial in sorted(self._directory.glob(f"*{PARTIAL}")):
            try:
                with partial.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    partial.rename(partial.with_suffix(SUFFIX))
            except OSError as error:
                _log.warning("spool: %s is not taken over: %s", partial.name, type(error).__name__)


def _locked(directory: Path) -> int | None:
    """Return a descriptor that holds the directory's lock, or None while another process holds it."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT):
            raise
        # A directory that cannot be written to can still be delivered, by one process.
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return descriptor


def _size(segment: Path) -> _Size:
    try:
        with segment.open("rb") as file:
            return _Size(segment.stat().st_size, sum(1 for _ in file))
    except OSError:
        return _Size(0, 0)  # reading it again, later, reports what is wrong with it


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
