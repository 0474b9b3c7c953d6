"""Stopping a process leaves nothing of it; one that dies early shows why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local.processes.process import Process, ProcessError, base_environment

FAMILY = """
import subprocess, sys, time
program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", program])
print(child.pid, flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, program: str) -> Process:
    return Process(
        "program",
        [sys.executable, "-c", program],
        environment=base_environment(),
        log=tmp_path / "logs" / "p.log",
        stop_seconds=1,
    )


def test_stop_ends_the_whole_group_even_what_ignores_the_signal(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY)
    process.wait_until(lambda: process.log.read_text().strip().isdigit(), 20)
    grandchild = int(process.log.read_text())
    process.stop()
    status = Path(f"/proc/{grandchild}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_an_early_death_shows_the_logs_tail_and_path(tmp_path: Path) -> None:
    process = start(tmp_path, "print('line one'); raise SystemExit('no table named claims')")
    with pytest.raises(ProcessError, match="exit code 1 before it was ready") as caught:
        process.wait_until(lambda: False, 20)
    assert "no table named claims" in str(caught.value)
    assert str(process.log) in str(caught.value)


def test_nothing_of_the_developers_environment_reaches_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    process = start(
        tmp_path, "import os; print(sorted(n for n in os.environ if n.startswith('AWS') or n == 'HOME'))"
    )
    process.wait_until(lambda: process.log.read_text().endswith("\n"), 20)
    process.stop()
    assert process.log.read_text() == "[]\n"
