"""The cost that telemetry adds to an agent's request, compared with Traceloop's defaults and MLflow's autolog,
and when the collector dies.

Each contender is a process with an agent of its own; a round asks each once, one after another. The peers'
packages are in ``.venvs/bench`` (requirements/bench.txt), and every contender runs there.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from timeit import timeit
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from checks.bench.report import Note, entry, publish
from fmops.telemetry.redaction import RedactingSpanExporter, redacted

PYTHON = Path(".venvs/bench/bin/python")
KINDS = ("none", "ours", "otel", "traceloop", "mlflow")
ROUNDS = 7
ALONE, TOGETHER = (160, 1), (320, 32)
RATES = (500, 1000, 2000, 4000, 8000)
LOSSLESS_SECONDS = 2
ATTRIBUTES = {f"gen_ai.request.part_{number}": "x" * 20 for number in range(9)}
Figures = dict[str, float]


class Sink(BaseHTTPRequestHandler):
    """An OTLP receiver that accepts everything, and counts spans."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/v1/traces" and self.headers.get("content-encoding") != "gzip":
            request = ExportTraceServiceRequest.FromString(body)
            arrived = sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
            server: Any = self.server
            server.spans = getattr(server, "spans", 0) + arrived
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Contender:
    """A process with an agent under one kind of telemetry."""

    def __init__(self, kind: str, endpoint: str) -> None:
        command = [str(PYTHON), "-W", "ignore", "-m", "checks.bench.telemetry_peers", kind, endpoint]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self._line().strip() != "ready":
            raise RuntimeError(f"{kind} did not start: run its command by hand: {' '.join(command)}")

    def ask(self, requests: int, concurrency: int) -> Figures:
        assert self._process.stdin
        self._process.stdin.write(f"{requests} {concurrency}\n")
        self._process.stdin.flush()
        figures: Figures = json.loads(self._line())
        return figures

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@contextmanager
def sink() -> Iterator[tuple[str, ThreadingHTTPServer]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    server.server_close()


def main() -> int:
    if not PYTHON.exists():
        print("the peers are not installed: run `make bench`, which installs them", file=sys.stderr)
        return 1
    with sink() as (endpoint, _):
        contenders = {kind: Contender(kind, endpoint) for kind in KINDS}
        alone: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
        together: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
        for number in range(ROUNDS + 1):
            for kind, contender in contenders.items():
                one, many = contender.ask(*ALONE), contender.ask(*TOGETHER)
                if number:
                    alone[kind].append(one)
                    together[kind].append(many)
        for contender in contenders.values():
            contender.stop()
    dead = _without_collector()
    publish(
        {
            "telemetry.vs_traceloop": entry(
                _added(alone, "ours") / _added(alone, "traceloop"),
                "ratio",
                "<= 0.5",
                "CPU that Traceloop.init() adds to a request",
                ROUNDS,
            ),
            "telemetry.collector_dead": entry(
                dead, "ratio", "<= 1.1", "p50 of a request while the collector takes everything", ROUNDS
            ),
        },
        [
            *_notes("one at a time", alone),
            *_notes("32 at once", together),
            ("spans a second without loss", f"{_lossless():.0f}"),
            ("redaction of a span", f"{_redaction_us():.1f} us"),
        ],
    )
    return 0


def _added(rounds: Mapping[str, list[Figures]], kind: str) -> float:
    """Return the milliseconds of CPU that this kind adds to a request: the median over the rounds."""
    return statistics.median(
        with_it["cpu_ms"] - bare["cpu_ms"] for with_it, bare in zip(rounds[kind], rounds["none"], strict=True)
    )


def _redaction_us() -> float:
    """Return the microseconds of redacting a span with eleven attributes, two of them content, and an
    exception.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("bench").start_as_current_span("chat") as span:
        span.set_attributes(ATTRIBUTES)
        span.set_attributes({"gen_ai.input.messages": "x" * 500, "gen_ai.output.messages": "x" * 500})
        span.record_exception(ValueError("x" * 50))
    (made,) = exporter.get_finished_spans()
    number = 5_000
    return timeit(lambda: redacted(made), number=number) / number * 1e6


def _lossless() -> float:
    """Return the largest tried rate at which every span of ours arrives: redacted, batched and sent over OTLP,
    from one process."""
    best = 0
    for rate in RATES:
        with sink() as (endpoint, server):
            exporter = RedactingSpanExporter(OTLPSpanExporter(f"{endpoint}/v1/traces"))
            provider = TracerProvider()
            provider.add_span_processor(BatchSpanProcessor(exporter))
            tracer, due = provider.get_tracer("bench"), time.perf_counter()
            for _ in range(rate * LOSSLESS_SECONDS):
                with tracer.start_as_current_span("chat") as span:
                    span.set_attributes(ATTRIBUTES)
                due += 1 / rate
                time.sleep(max(0.0, due - time.perf_counter()))
            provider.shutdown()
            if getattr(server, "spans", 0) < rate * LOSSLESS_SECONDS:
                return best
            best = rate
    return best


def _without_collector() -> float:
    """Return the median ratio of p50, round by round: an agent whose collector is gone over one
    whose collector answers."""
    with sink() as (endpoint, _), sink() as (lost, server):
        alive, orphan = Contender("ours", endpoint), Contender("ours", lost)
        alive.ask(*ALONE), orphan.ask(*ALONE)
        server.shutdown()
        server.server_close()
        ratios = []
        for _ in range(ROUNDS):
            good, bad = alive.ask(*ALONE), orphan.ask(*ALONE)
            ratios.append(bad["p50_ms"] / good["p50_ms"])
        alive.stop()
        orphan.stop()
    return statistics.median(ratios)


def _notes(what: str, rounds: Mapping[str, list[Figures]]) -> list[Note]:
    def middle(kind: str, name: str) -> float:
        return statistics.median(figures[name] for figures in rounds[kind])

    return [
        (
            f"{what}: {kind}",
            f"{middle(kind, 'cpu_ms'):.2f} ms CPU, p50 {middle(kind, 'p50_ms'):.2f} ms,"
            f" p95 {middle(kind, 'p95_ms'):.2f} ms, {middle(kind, 'per_second'):.0f}/s",
        )
        for kind in rounds
    ]


if __name__ == "__main__":
    sys.exit(main())
