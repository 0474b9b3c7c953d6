"""Start the stand-in: ``python -m local.collector``, configured by AOT_CONFIG_CONTENT as ADOT is."""

from __future__ import annotations

import gzip
import logging
import os
import signal
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from local.collector import telemetry
from local.collector.pipeline import Pipelines, RefusedError
from observability.collector.config import CollectorConfig, HealthCheck, load

TICK = 0.2
RETRY_AFTER = "1"

_log = logging.getLogger("collector")


def serve(config: CollectorConfig) -> tuple[Pipelines, list[ThreadingHTTPServer]]:
    """Listen as the configuration says, and return the pipelines and the servers, which run in threads."""
    pipelines = Pipelines(config)
    servers = []
    for name, receiver in config.receivers.items():
        if receiver.protocols.grpc or not receiver.protocols.http:
            raise ValueError(
                f"receivers.{name}: the stand-in receives OTLP over HTTP only; use the http protocol"
            )
        servers.append(_listen(receiver.protocols.http.endpoint, _otlp_handler(pipelines, name)))
    servers += [
        _listen(extension.endpoint, _HealthHandler)
        for extension in config.extensions.values()
        if isinstance(extension, HealthCheck)
    ]
    return pipelines, servers


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    content = os.environ.get("AOT_CONFIG_CONTENT")
    if not content:
        print("AOT_CONFIG_CONTENT is not set: give it the collector's configuration", file=sys.stderr)
        return 2
    try:
        pipelines, servers = serve(load(content, os.environ))
    except (ValueError, OSError) as error:
        print(f"the collector cannot start: {error}", file=sys.stderr)
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    _log.info("stand-in for the ADOT collector is ready")
    while not stopping.wait(TICK):
        pipelines.tick()
    for server in servers:
        server.shutdown()
    pipelines.tick(everything=True)
    return 0


def _otlp_handler(pipelines: Pipelines, receiver: str) -> type[BaseHTTPRequestHandler]:
    class OtlpHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                body = _body(self)
                if self.path == "/v1/traces":
                    traces = ExportTraceServiceRequest.FromString(body)
                    pipelines.receive_spans(receiver, list(telemetry.spans(traces)))
                elif self.path == "/v1/metrics":
                    metrics = ExportMetricsServiceRequest.FromString(body)
                    pipelines.receive_metrics(receiver, list(telemetry.metric_points(metrics)))
                else:
                    return _reply(self, 404)
            except (DecodeError, ValueError, EOFError, OSError, zlib.error):
                return _reply(self, 400)
            except RefusedError:
                return _reply(self, 503, {"retry-after": RETRY_AFTER})
            except Exception as error:  # noqa: BLE001 - whatever a request contains, the next one is served
                # Without the error's text, which may contain parts of the request.
                _log.error("a request was not taken: %s", type(error).__name__)
                return _reply(self, 500)
            return _reply(self, 200, {"content-type": "application/x-protobuf"})

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    return OtlpHandler


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """Read a request's body.

    Raises ``ValueError``, ``EOFError``, ``OSError`` or ``zlib.error`` for one that is broken.
    """
    body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
    match handler.headers.get("content-encoding", ""):
        case "gzip":
            return gzip.decompress(body)
        case "zlib" | "deflate":
            return zlib.decompress(body)
        case "" | "identity":
            return body
        case other:
            raise ValueError(f"the stand-in does not read {other}")


class _HealthHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _reply(self, 200, {"content-type": "application/json"}, b'{"status":"Server available"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def _reply(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None, body: bytes = b""
) -> None:
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _listen(endpoint: str, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    host, _, port = endpoint.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name=f"listen-{port}", daemon=True).start()
    return server


if __name__ == "__main__":
    sys.exit(main())
