"""The extension that keeps the collector running on Lambda, against the Extensions API as Lambda documents
it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from observability.collector.extension import COLLECTOR, Keeper
from observability.collector.template import compose

EXTENSION = Path(__file__).parents[2] / "observability" / "collector" / "extension.py"
FAKE = """#!/bin/sh
printf %s "$AOT_CONFIG_CONTENT" > "$LOG.yaml"
echo "started $RUN_IN_CONTAINER" >> "$LOG"
trap 'echo flushed >> "$LOG"; exit 0' TERM
while :; do sleep 0.01; done
"""


class Lambda:
    """A Lambda that registers an extension, and lets it wait until the sandbox ends."""

    def __init__(self) -> None:
        self.registered: list[tuple[str, object]] = []
        self.waiting, self.ended = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.registered.append((self.headers["Lambda-Extension-Name"], body))
                self._answer({"Lambda-Extension-Identifier": "id-1"})

            def do_GET(self) -> None:
                assert self.headers["Lambda-Extension-Identifier"] == "id-1"
                outer.waiting.set()
                outer.ended.wait(60)
                self._answer({})

            def _answer(self, headers: dict[str, str]) -> None:
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def api() -> Iterator[Lambda]:
    running = Lambda()
    yield running
    running.ended.set()
    running.server.shutdown()
    running.server.server_close()


def test_it_starts_the_collector_and_stops_it_with_the_sandbox(api: Lambda, tmp_path: Path) -> None:
    program, log = tmp_path / "awscollector", tmp_path / "log"
    program.write_text(FAKE)
    program.chmod(0o755)
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"localhost:{api.server.server_port}",
        "FMOPS_COLLECTOR": str(program),
        "FMOPS_COLLECTOR_OPTIONS": "transaction-search",
        "PYTHONPATH": str(EXTENSION.parents[2]),
        "LOG": str(log),
        "PATH": os.environ["PATH"],
    }
    extension = subprocess.Popen([sys.executable, str(EXTENSION)], env=variables)
    assert api.waiting.wait(60)
    assert api.registered == [("extension.py", {"events": ["SHUTDOWN"]})]
    while not log.exists():
        pass
    api.ended.set()
    assert extension.wait(60) == 0
    assert log.read_text().splitlines() == ["started True", "flushed"]
    assert (tmp_path / "log.yaml").read_text() == compose("transaction-search", waits=False)


def test_a_collector_that_ends_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    keeper = Keeper(["sh", "-c", f"echo once >> {log}"], "", pause=0.01)
    while not log.exists() or log.read_text().count("once") < 3:
        pass
    keeper.stop()


def test_an_image_without_a_collector_serves_without_telemetry(capfd: pytest.CaptureFixture[str]) -> None:
    Keeper(["/nowhere/awscollector"], "").stop()
    assert "telemetry is lost" in capfd.readouterr().err


def test_the_image_has_it_where_lambda_looks() -> None:
    dockerfile = (EXTENSION.parents[2] / "images" / "assistant.Dockerfile").read_text()
    assert f"COPY --from=collector /awscollector {COLLECTOR}" in dockerfile
    assert "COPY --chmod=755 observability/collector/extension.py /opt/extensions/" in dockerfile
