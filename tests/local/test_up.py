"""A run's folder, ports, processes and first second: a fault gives a sentence with the remedy, and nothing
is left behind."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from local.aws.kernel.ports import PortInUseError, check_ports
from local.run import folder
from local.run.folder import FOLDERS, FolderError, explained, held
from local.run.options import Options
from local.run.up import up

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")

HOLD = """
import sys, time
from pathlib import Path
from local.run.folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
FAMILY = """
import sys, time
from pathlib import Path
from local.processes.process import Process, base_environment
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
children = []
for number, program in enumerate([deaf, "import time; print('on', flush=True); time.sleep(600)"]):
    log = Path(sys.argv[1]) / f"{number}.log"
    child = Process(str(number), [sys.executable, "-c", program], environment=base_environment(), log=log)
    child.wait_until(lambda: log.read_text() == "on\\n", 60)
    children.append(child.pid)
print(*children, flush=True)
time.sleep(600)
"""
INTERRUPTED = """
import os, runpy, signal, sys
wanted, directory = sys.argv[1:]
class Interrupt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt)
sys.argv = ["local", "up", "--directory", directory]
runpy.run_module("local", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Restore our signal handlers after a run, which sets its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def told(options: Options) -> str:
    console = Console(record=True, width=2000, file=io.StringIO())
    assert up(options, console) == 1
    return console.export_text()


def test_a_second_run_in_the_same_folder_is_told_who_holds_it_and_wipes_nothing(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout and first.stdout.readline() == "held\n"
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    database.write_text("of the first")
    try:
        said = told(Options(directory=tmp_path, port_base=45_000))
        assert f"is in use by process {first.pid} (`" in said
        assert f"kill {first.pid}" in said and "--directory and --port-base" in said
    finally:
        first.kill()  # as with kill -9: nothing is cleaned up
        first.wait()
    assert database.read_text() == "of the first"
    with held(tmp_path):
        pass


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    said = told(Options(directory=tmp_path, port_base=45_000))
    assert f"{tmp_path / name}: there is a file where the run needs a folder" in said


def test_a_file_in_the_place_of_the_runs_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "local").write_text("")
    for directory in (tmp_path / "local", tmp_path / "local" / "below"):
        said = told(Options(directory=directory, port_base=45_000))
        assert str(tmp_path / "local") in said and "--directory" in said


def test_too_small_a_disk_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: Usage(1 << 30, 1 << 30, 100 << 20))
    said = told(Options(directory=tmp_path, port_base=45_000))
    assert "has 100 MiB left, and a run writes up to 500 MiB: free some" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> int:
        with Path("/dev/full").open("w") as file:
            file.write("x")
        return 0

    monkeypatch.setattr("local.run.up._held", fill)
    assert "is full, whatever else failed: free at least 500 MiB" in told(Options(directory=tmp_path))


def test_whatever_fails_on_a_full_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert explained(RuntimeError("database or disk is full"), tmp_path) == ""
    assert "is full" in explained(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: Usage(1 << 30, 1 << 30, 1 << 20))
    assert "is full" in explained(RuntimeError("MlflowException: 500"), tmp_path)


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(FolderError, match=r"Permission denied.*--directory"), held(closed / "local"):
        pass


def test_every_taken_port_is_named_at_once_with_one_remedy() -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [listener.getsockname()[1] for listener in listeners]
    try:
        with pytest.raises(PortInUseError) as caught:
            check_ports(
                {"the local AWS": ports[0], "MLflow": ports[1], "Prometheus": ports[2], "none": 0},
                "--port-base",
            )
    finally:
        for listener in listeners:
            listener.close()
    for user, port in zip(("the local AWS", "MLflow", "Prometheus"), ports, strict=True):
        assert f"port {port}, which {user} needs, is in use" in str(caught.value)
    assert str(caught.value).count("--port-base") == 1
    if shutil.which("true") and Path("/proc/net/tcp").exists():
        assert f"stop them (kill {os.getpid()}) or choose" in str(caught.value)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_the_processes_of_a_run_that_is_killed_end_with_it(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout
    children = [int(word) for word in run.stdout.readline().split()]
    assert len(children) == 2 and all(map(alive, children))
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))


@pytest.mark.parametrize("module", ["local.run.up", "rich.console", "local.aws.iam.permissions"])
def test_ctrl_c_in_the_first_second_is_no_traceback(tmp_path: Path, module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in ended.stderr
