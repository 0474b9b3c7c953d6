"""Ends the processes of a run if the run itself was killed.

``python -m local.processes.warden`` reads process groups from its input: ``+123`` and ``-123``, one per line.
When the input ends, which it does with the run in any case, it stops the groups that are left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from functools import cache
from typing import IO

from local.processes.companion import Companion

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Warden:
    """The warden's client, which tells it what this process starts and ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._companion = Companion("local.processes.warden")

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Remove a group that has ended, because the system may reuse its number."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        # If the warden was killed too, the run goes on without it.
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._companion.send(line.encode())


@cache
def warden() -> Warden:
    """Return the warden of this process."""
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
