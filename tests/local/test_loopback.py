"""Nothing of a local run can be reached from another machine."""

from __future__ import annotations

import ast
import os
import socket
import sys
from pathlib import Path

import pytest

from local.aws.server import LocalAws
from local.processes.process import Process, base_environment, on_loopback

LISTEN = "0A"
LISTENERS = {"ThreadingHTTPServer", "HTTPServer", "make_server", "create_server"}


def listening(pid: int) -> list[str]:
    """Return the addresses, as hexadecimal digits, on which a process listens."""
    links = [file.readlink().name for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
    inodes = {name.removeprefix("socket:[").rstrip("]") for name in links if name.startswith("socket:[")}
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [line[1].split(":")[0] for line in lines if line[3] == LISTEN and line[9] in inodes]


LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")


@linux
def test_the_local_aws_listens_on_loopback(tmp_path: Path) -> None:
    with LocalAws(port=0, enforce=False, directory=tmp_path, run_servers=False):
        found = listening(os.getpid())
        assert found
        assert set(found) <= LOOPBACK


@linux
def test_a_process_that_listens_on_a_containers_address_listens_on_loopback(tmp_path: Path) -> None:
    """Start the stand-in of the collector, whose task definition says 0.0.0.0."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(probe.getsockname()[1])
    code = (
        "import os, time; from local.collector.__main__ import _listen, _HealthHandler\n"
        "for name in ('OTLP_HTTP_ENDPOINT', 'HEALTH_CHECK_ENDPOINT'): _listen(os.environ[name], _HealthHandler)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    environment = {
        **base_environment(),
        "OTLP_HTTP_ENDPOINT": f"0.0.0.0:{ports[0]}",
        "HEALTH_CHECK_ENDPOINT": f"0.0.0.0:{ports[1]}",
    }
    process = Process(
        "collector",
        [sys.executable, "-c", code],
        environment=environment,
        log=tmp_path / "log",
        directory=Path(__file__).parents[2],
    )
    try:
        process.wait_until(lambda: "ready" in (tmp_path / "log").read_text(), 30)
        found = listening(process.pid)
        assert len(found) == 2
        assert set(found) <= LOOPBACK
    finally:
        process.stop()


def test_every_process_is_told_to_listen_on_loopback() -> None:
    told = on_loopback({"A": "0.0.0.0:4318", "B": "0.0.0.0", "C": "10.0.0.0/8", "D": "x 0.0.0.0:1"})
    assert told == {"A": "localhost:4318", "B": "localhost", "C": "10.0.0.0/8", "D": "x 0.0.0.0:1"}
    assert on_loopback({"FMOPS_PORT": "8080"}) == {"FMOPS_PORT": "8080", "FMOPS_HOST": "localhost"}


@pytest.mark.parametrize("file", sorted(Path("local").rglob("*.py")), ids=str)
def test_no_server_of_ours_names_another_address(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in ("0.0.0.0", "*:"), f"{file}:{node.lineno}"
        called = (
            getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        )
        if called in LISTENERS and isinstance(node, ast.Call):
            host = node.args[0].elts[0] if isinstance(node.args[0], ast.Tuple) else node.args[0]
            assert not (isinstance(host, ast.Constant) and host.value in ("", None)), f"{file}:{node.lineno}"
