#!/usr/local/bin/python3
"""The Lambda extension /opt/extensions/otel-collector, which keeps the ADOT collector running beside the
application, as ECS keeps the sidecar.

Lambda starts it before the application; nothing else starts it. FMOPS_COLLECTOR_OPTIONS names the options of
`observability/collector/template.py` that are on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, "/app")  # the image's WORKDIR, which is not where Lambda starts extensions

from observability.collector.template import compose, named

COLLECTOR = "/opt/aws-otel-collector/awscollector"
READY_SECONDS = 3.0
"""Seconds to wait for the collector. Lambda counts the start of extensions as the function's start, and
telemetry must not delay an answer for longer."""
STOP_SECONDS = 1.5
"""Seconds that the collector gets to stop. Lambda ends the sandbox two seconds after it announces the end."""


def main() -> int:
    """Register, start the collector, and run until Lambda announces the end of the sandbox."""
    api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension"
    name = Path(sys.argv[0]).name
    registered = _call(f"{api}/register", {"Lambda-Extension-Name": name}, {"events": ["SHUTDOWN"]})
    configuration = compose(*named(os.environ["FMOPS_COLLECTOR_OPTIONS"]), waits=False)
    keeper = Keeper([os.environ.get("FMOPS_COLLECTOR", COLLECTOR)], configuration)
    _wait_ready(os.environ.get("HEALTH_CHECK_ENDPOINT", ""))
    _call(f"{api}/event/next", {"Lambda-Extension-Identifier": registered["Lambda-Extension-Identifier"]})
    keeper.stop()
    return 0


class Keeper:
    """Starts a collector, and restarts it when it exits by itself."""

    def __init__(self, words: list[str], configuration: str, *, pause: float = 1.0) -> None:
        self._words = words
        # The variables that ADOT's own image sets: logs go to the output instead of a file, and the
        # home directory exists.
        home = {"RUN_IN_CONTAINER": "True", "HOME": "/tmp"}  # noqa: S108
        self._environment = {**os.environ, **home, "AOT_CONFIG_CONTENT": configuration}
        self._pause = pause
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = self._start()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _start(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(self._words, env=self._environment)
        except OSError as error:
            _log(f"the collector cannot start, so telemetry is lost: {error}")
            return None

    def _watch(self) -> None:
        while self._process is not None:
            code = self._process.wait()
            if self._stopping.wait(self._pause):
                return
            _log(f"the collector exited with {code} and is restarted")
            self._process = self._start()


def _wait_ready(endpoint: str) -> None:
    """Wait for the collector's health check to pass; if that takes too long, the application starts without
    it.
    """
    deadline = time.monotonic() + READY_SECONDS
    while endpoint and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{endpoint}/", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)


def _log(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the sandbox's log


def _call(url: str, headers: dict[str, str], body: object = None) -> dict[str, str]:
    """Send a request to Lambda's API and return the headers of the answer, which may take as long as Lambda
    likes.
    """
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:  # noqa: S310 - http
        return {key.title(): value for key, value in answer.headers.items()}


if __name__ == "__main__":
    sys.exit(main())
