"""Child processes, each with a log and a process group of its own, so that stopping one leaves nothing behind.

They end with this process in any case (`local.processes.warden`).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.processes.warden import warden

TAIL_LINES = 25


class ProcessError(Exception):
    """A process died or did not become ready; the message has the end of its log and the log's path."""


class Process:
    """A running command. `environment` is its whole environment, with addresses on loopback: nothing of
    ours is inherited."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path | None = None,
        stop_seconds: float = 10,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_seconds = stop_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=on_loopback(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        warden().watch(self.pid)

    @property
    def exit_code(self) -> int | None:
        code = self._process.poll()
        if code is not None:
            self._signal(signal.SIGKILL)  # the rest of the group
            warden().forget(self.pid)
        return code

    def wait(self) -> int:
        """Wait for the process to end, stop the rest of its group, and return the exit code."""
        self._process.wait()
        return self.exit_code or 0

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])

    def failure(self, what: str) -> ProcessError:
        return ProcessError(f"{self.name} {what}\n{self.tail()}\n    log: {self.log}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()` is true; raise ProcessError if the process ends first or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise self.failure(f"ended with exit code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {seconds:.0f} s")
            time.sleep(0.05)

    def freeze(self) -> None:
        """Pause all processes of the group until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Send SIGTERM to the group, and SIGKILL to the rest of it after `stop_seconds`."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._wait_for_group()
        warden().forget(self.pid)

    def _wait_for_group(self) -> None:
        """Wait for the whole group to end: a killed process is not gone at once, and its port is in
        use until then."""
        deadline = time.monotonic() + self._stop_seconds
        while self._signal(0) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _signal(self, number: int) -> bool:
        """Send a signal to the group, and return whether there was a process to receive it."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def stop_all(processes: Sequence[Process]) -> None:
    """Stop all processes at once, so that it takes only as long as the slowest."""
    threads = [threading.Thread(target=process.stop) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` for a process: a container's own addresses become loopback addresses here, since
    others may reach this machine."""
    bound = {
        name: re.sub(r"^0\.0\.0\.0(?=:\d+$|$)", "localhost", value) for name, value in environment.items()
    }
    # Only servers are told where to listen: a job gets its own variables and no others.
    return {"FMOPS_HOST": "localhost", **bound} if "FMOPS_PORT" in bound else bound


def base_environment() -> dict[str, str]:
    """Return what every process needs to run at all: nothing of AWS, and none of the developer's settings."""
    names = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TERM")
    return {name: os.environ[name] for name in names if name in os.environ}
