"""Child processes with a log each, in a process group of their own, so that stopping one leaves nothing behind.

They end with this process too, however it ends (`local.processes.warden`).
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
    """A process died or did not become ready; the message carries the end of its log and the log's path."""


class Process:
    """A running command. `environment` is all it gets, with addresses on loopback: nothing is inherited from ours."""

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
            self._signal(signal.SIGKILL)  # what is left of the group
            warden().forget(self.pid)
        return code

    def wait(self) -> int:
        """Return the exit code when it has ended, with what is left of its group."""
        self._process.wait()
        return self.exit_code or 0

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])

    def failure(self, what: str) -> ProcessError:
        return ProcessError(f"{self.name} {what}\n{self.tail()}\n    log: {self.log}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return when `ready()` is true; ProcessError when the process ends before or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise self.failure(f"ended with exit code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {seconds:.0f} s")
            time.sleep(0.05)

    def freeze(self) -> None:
        """Take the CPU from the group until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL to what is left of it after `stop_seconds`."""
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
        """A killed process is not gone at once, and until then its port is in use."""
        deadline = time.monotonic() + self._stop_seconds
        while self._signal(0) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _signal(self, number: int) -> bool:
        """Whether there was anybody to signal."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def stop_all(processes: Sequence[Process]) -> None:
    """Stop all at once, so that the slowest decides how long it takes."""
    threads = [threading.Thread(target=process.stop) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a process: every address of a container is one of this whole machine, which others may
    reach."""
    bound = {
        name: re.sub(r"^0\.0\.0\.0(?=:\d+$|$)", "localhost", value) for name, value in environment.items()
    }
    # Only what serves is told where: a job gets its variables and no other.
    return {"FMOPS_HOST": "localhost", **bound} if "FMOPS_PORT" in bound else bound


def base_environment() -> dict[str, str]:
    """What every process needs to run at all; nothing of AWS, nothing of the developer's settings."""
    names = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TERM")
    return {name: os.environ[name] for name in names if name in os.environ}
