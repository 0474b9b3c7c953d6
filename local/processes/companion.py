"""A process that works for this one, and ends with it in any case, because its input then ends."""

from __future__ import annotations

import atexit
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Companion:
    """One of our modules, run as a process that reads its input until that ends. It survives Ctrl-C and
    a closed terminal."""

    def __init__(self, module: str, *, answers: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self._end)

    def send(self, line: bytes) -> None:
        """Write a line. Raises ``BrokenPipeError`` or ``ValueError`` if the process is gone."""
        assert self.process.stdin  # noqa: S101 - a pipe
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes of the process's answer, or fewer if it is gone."""
        assert self.process.stdout  # noqa: S101 - a pipe, of one that answers
        return self.process.stdout.read(size)

    def _end(self) -> None:
        assert self.process.stdin  # noqa: S101 - a pipe
        self.process.stdin.close()
        self.process.wait()
