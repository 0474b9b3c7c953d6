"""The cost of delivering a request's telemetry before a frozen process stops: straight from the process, and
through a collector beside it.

The requests are 17 spans and 12 measurements, about what an answered question makes. The receiver accepts
everything at once, so that our own time is measured. The collector is the stand-in in Python: its milliseconds
of CPU are not those of ADOT, which is a compiled program.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from checks.bench.report import entry, publish
from fmops.telemetry.redaction import RedactingSpanExporter
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from observability.collector.template import compose

SPANS, MEASUREMENTS = 17, 12
ROUNDS, WARM = 60, 5
TICKS = os.sysconf("SC_CLK_TCK")


class Sink(BaseHTTPRequestHandler):
    """A receiver that accepts everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Telemetry:
    """Providers as `fmops.telemetry.setup` makes them, to one address; its globals can be set only once."""

    def __init__(self, endpoint: str) -> None:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"), 3_600_000)
        self._meters = MeterProvider(metric_readers=[reader])
        self._tracers = TracerProvider()
        exporter = RedactingSpanExporter(OTLPSpanExporter(f"{endpoint}/v1/traces"))
        self._tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
        self._durations = self._meters.get_meter("bench").create_histogram("request.duration", "s")

    def request(self) -> None:
        tracer = self._tracers.get_tracer("bench")
        with tracer.start_as_current_span("request", kind=trace.SpanKind.SERVER):
            for number in range(SPANS - 1):
                with tracer.start_as_current_span(
                    f"step {number}", attributes={"gen_ai.operation.name": "chat"}
                ):
                    pass
        for number in range(MEASUREMENTS):
            self._durations.record(0.1, {"step": number})

    def flush(self) -> None:
        self._tracers.force_flush(10_000)
        self._meters.force_flush(10_000)

    def stop(self) -> None:
        self._tracers.shutdown()
        self._meters.shutdown()


@contextmanager
def sink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextmanager
def collector(cloud: Cloud, receiver: str, log: Path) -> Iterator[tuple[str, int]]:
    """Start a collector; yield its address and its process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as free:
        port = free.server_port
    environment = {
        **os.environ,
        "AOT_CONFIG_CONTENT": compose(waits=False),
        "AWS_REGION": cloud.region,
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "AKIALOCALDEVELOPER00",
        "AWS_SECRET_ACCESS_KEY": "local",
        "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{port}",
        "HEALTH_CHECK_ENDPOINT": "127.0.0.1:0",
        "AMP_REMOTE_WRITE_ENDPOINT": f"{receiver}/remote_write",
    }
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "local.collector"], env=environment, stderr=output)
    while "ready" not in log.read_text():
        if process.poll() is not None:
            raise RuntimeError(f"the collector did not start: {log.read_text()}")
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(telemetry: Telemetry, beside: Callable[[], float]) -> tuple[list[float], float, float]:
    """Return the seconds of each flush, and the CPU seconds per request here and in the process beside."""
    times = []
    for number in range(ROUNDS + WARM):
        if number == WARM:
            here, there = time.process_time(), beside()
        telemetry.request()
        began = time.perf_counter()
        telemetry.flush()
        if number >= WARM:
            times.append(time.perf_counter() - began)
    return times, (time.process_time() - here) / ROUNDS, (beside() - there) / ROUNDS


def main() -> int:
    metrics.set_meter_provider(MeterProvider())
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalAws(port=0, enforce=False, directory=Path(directory)) as cloud,
        sink() as receiver,
        collector(cloud, receiver, Path(directory) / "collector.log") as (address, pid),
    ):
        straight, through = Telemetry(receiver), Telemetry(address)
        direct, direct_cpu, _ = measure(straight, lambda: 0.0)
        hop, hop_cpu, beside_cpu = measure(through, lambda: cpu(pid))
        straight.stop()
        through.stop()
    ratio = statistics.median(hop) / statistics.median(direct)
    publish(
        {
            "telemetry.sandbox_flush_vs_direct": entry(
                ratio, "ratio", "<= 20", "a flush straight to the receiver", ROUNDS
            )
        },
        [
            (
                "flush straight from the process",
                f"{statistics.median(direct) * 1000:.1f} ms, {direct_cpu * 1000:.1f} ms CPU",
            ),
            (
                "flush by a collector in the sandbox",
                f"{statistics.median(hop) * 1000:.1f} ms, {hop_cpu * 1000:.1f} ms CPU, and"
                f" {beside_cpu * 1000:.1f} ms in the stand-in (with the local X-Ray in this process)",
            ),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
