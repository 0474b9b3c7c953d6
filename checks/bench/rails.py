"""All rails together compared with the bare agent: throughput behind the same HTTP server, with everything
outside at 0 ms."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import urllib3

from checks.bench.report import entry, median_ratio, publish
from checks.bench.telemetry import sink

ROUNDS = 7
REQUESTS = 320
CONCURRENT = 32
START_SECONDS = 60
BODY = json.dumps({"model": "claims-desk", "messages": [{"role": "user", "content": "Is claim C-1 open?"}]})
KINDS = {
    "bare": "LangChain's agent",
    "guardrails": "guardrails",
    "authorization": "authorization",
    "conversation": "limits, streaming and capture",
    "telemetry": "traces and metrics",
    "rails": "HTTP service with sign-in",
}
"""Kinds of servers, each with what it adds to the one before it."""
ANSWER = "It is open, and the adjuster has seen it."


class Server:
    """An application of ``KINDS``, in a process of its own."""

    def __init__(self, kind: str, otlp: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "-m", "checks.bench.rails_peers", kind, str(port), otlp]
        self._process = subprocess.Popen(command)
        self._url = f"http://127.0.0.1:{port}"
        self._pool = urllib3.PoolManager(maxsize=CONCURRENT, block=True, retries=False)
        self._token = ""
        self._wait()

    def ask(self) -> float:
        """Return the seconds of one request, whose answer must be the model's."""
        began = time.perf_counter()
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._token}"}
        url = f"{self._url}/v1/chat/completions"
        answer = self._pool.request("POST", url, body=BODY, headers=headers, timeout=60)
        if answer.status != 200 or answer.json()["choices"][0]["message"]["content"] != ANSWER:
            raise RuntimeError(f"not the answer: {answer.status} {answer.data.decode()[:300]}")
        return time.perf_counter() - began

    def load(self) -> tuple[float, Sequence[float]]:
        """Return requests per second, and the time of each."""
        began = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENT) as clients:
            times = list(clients.map(lambda _: self.ask(), range(REQUESTS)))
        return REQUESTS / (time.perf_counter() - began), sorted(times)

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has used."""
        answer = self._pool.request("GET", f"{self._url}/cpu")
        return float(answer.json())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self._token = self._pool.request("GET", f"{self._url}/token").json()
                self.ask()
                return
            except urllib3.exceptions.HTTPError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the server did not start: see its output above") from None
                time.sleep(0.2)


def main() -> int:
    rates: dict[str, list[float]] = {"bare": [], "rails": []}
    middle: dict[str, list[float]] = {"bare": [], "rails": []}
    cpu: dict[str, list[float]] = {"bare": [], "rails": []}
    with sink() as (otlp, _):
        servers = {kind: Server(kind, otlp) for kind in rates}
        try:
            for number in range(ROUNDS + 1):
                for kind, server in servers.items():
                    before = server.cpu()
                    rate, times = server.load()
                    if number:
                        cpu[kind].append((server.cpu() - before) / REQUESTS)
                        rates[kind].append(rate)
                        middle[kind].append(times[len(times) // 2])
        finally:
            for server in servers.values():
                server.stop()
    publish(
        {
            "rails.throughput_kept": entry(
                median_ratio(rates["rails"], rates["bare"]),
                "ratio",
                ">= 0.5",
                f"the bare agent's requests per second, {CONCURRENT} at once",
                ROUNDS,
            )
        },
        [
            (
                f"{CONCURRENT} at once: {kind}",
                f"{statistics.median(rates[kind]):.0f}/s, p50 {statistics.median(middle[kind]) * 1000:.0f} ms,"
                f" {statistics.median(cpu[kind]) * 1000:.2f} ms CPU a request",
            )
            for kind in rates
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
