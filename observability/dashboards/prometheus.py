"""Ask a Prometheus what a dashboard would ask it: one that is running, or the data that a run left behind."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

LEFT_BEHIND = Path("build/local/prometheus/tsdb")
RUNNING = "http://localhost:9090"
MARK = "fmops_interactions_total"
"""A metric that every run writes, used to find when the run was."""


class NoMetricsError(Exception):
    """There are no metrics to show; the message says what to do."""


class Prometheus:
    """Prometheus's HTTP API, with Grafana's variables resolved for the time range of a run."""

    def __init__(
        self,
        url: str,
        *,
        service: str = ".*",
        sign: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """``sign`` returns the headers for a URL, since Managed Prometheus requires signed requests."""
        self._url = url.rstrip("/")
        self._service = service
        self._sign = sign
        self.begin, self.end = self._extent()

    @property
    def step(self) -> float:
        return max(1.0, round((self.end - self.begin) / 240, 1))

    def expand(self, expr: str) -> str:
        """Return the expression with Grafana's variables replaced."""
        values = {
            "$service": self._service,
            "$__rate_interval": f"{max(60, int(self.step * 4))}s",
            "$__range": f"{max(60, int(self.end - self.begin) + 10)}s",
        }
        for name, value in values.items():
            expr = expr.replace(name, value)
        return expr

    def instant(self, expr: str) -> list[dict[str, Any]]:
        """Return the series at the end of the run."""
        return self._get("query", query=self.expand(expr), time=self.end)

    def range(self, expr: str) -> list[dict[str, Any]]:
        """Return the series over the run."""
        times = {"start": self.begin, "end": self.end, "step": self.step}
        return self._get("query_range", query=self.expand(expr), **times)

    def names(self) -> set[str]:
        """Return the names of all metrics."""
        return set(self._request("label/__name__/values", {})["data"])

    def _extent(self) -> tuple[float, float]:
        now = time.time()
        # The second part alone would miss a run that is younger than a minute.
        first = (
            f"min(min_over_time(timestamp({MARK})[1h:5s])) or min(min_over_time(timestamp({MARK})[7d:1m]))"
        )
        found = self._get("query", query=first, time=now)
        if not found:
            raise NoMetricsError(
                f"{self._url} has no metrics of the last seven days: run `make run ONCE=1` first"
            )
        begin = float(found[0]["value"][1]) - 60
        last = self._get("query", query=f"max(max_over_time(timestamp({MARK})[7d:15s]))", time=now)
        return begin, max(float(last[0]["value"][1]), begin + 120)

    def _get(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._request(path, parameters)["data"]["result"]
        return result

    def _request(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            request = urllib.request.Request(url, headers=dict(self._sign(url)))  # noqa: S310 - the user's own
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the user's own Prometheus
                body: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_IMPLEMENTED:
                raise NoMetricsError(json.load(error)["message"]) from error
            raise ValueError(f"{parameters.get('query')}: {error.read().decode()}") from error
        except OSError as error:
            raise NoMetricsError(
                f"{self._url} does not answer ({error}): start one with `make run`"
            ) from error
        return body


@contextmanager
def opened(url: str | None, data: Path = LEFT_BEHIND) -> Iterator[Prometheus]:
    """Return the Prometheus at ``url``, or else a running one, or else one over the data that the last
    run left behind."""
    if url:
        yield Prometheus(url)
        return
    try:
        running = Prometheus(RUNNING)
    except NoMetricsError:
        with _over(data) as started:
            yield Prometheus(started)
    else:
        yield running


@contextmanager
def _over(data: Path) -> Iterator[str]:
    program = shutil.which("prometheus")
    if program is None:
        raise NoMetricsError("prometheus is not on PATH: install it (Debian: apt-get install prometheus)")
    if not data.exists():
        raise NoMetricsError(f"there is no {data}: run `make run ONCE=1` first")
    with tempfile.TemporaryDirectory() as directory:
        copied = Path(directory) / "tsdb"
        shutil.copytree(data, copied, ignore=shutil.ignore_patterns("lock"))
        config = Path(directory) / "prometheus.yml"
        config.write_text("global: {}\n")
        address = f"localhost:{_free_port()}"
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={copied}",
            f"--web.listen-address={address}",
            "--storage.tsdb.retention.time=10y",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_ready(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310 - started above
                return
        except OSError:
            time.sleep(0.1)
    raise NoMetricsError("prometheus did not start over the data of the last run")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port
