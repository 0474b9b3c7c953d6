"""Ends the processes of a run when the run itself was killed.

``python -m local.warden`` reads process groups from its input: ``+123`` and ``-123``, a line each. When the input ends, which it does
with the run however that ended, it stops the groups that are left.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import IO

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
ROOT = Path(__file__).resolve().parent.parent


class Warden:
    """The other end: told what this process starts and ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.warden"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # It must outlive a Ctrl-C and a closed terminal.
            start_new_session=True,
        )
        atexit.register(self._end)

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave alone a group that has ended: the system may give its number to others."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin  # noqa: S101 - a pipe
        with self._lock:
            try:
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                return  # it was killed too: the run goes on without

    def _end(self) -> None:
        assert self._process.stdin  # noqa: S101 - a pipe
        self._process.stdin.close()
        self._process.wait()


@cache
def warden() -> Warden:
    """The one of this process."""
    return Warden()


def main(lines: IO[str]) -> None:
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        groups.add(group) if line[0] == "+" else groups.discard(group)
    groups = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + PATIENCE
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = {group for group in groups if _signal(group, 0)}
    for group in groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main(sys.stdin)
