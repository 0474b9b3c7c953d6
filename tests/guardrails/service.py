"""A small HTTP server that speaks Comprehend's and Bedrock's protocols, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def harmless(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the services' answer for a text without findings."""
    match operation:
        case "DetectToxicContent":
            return {"ResultList": [{"Labels": [], "Toxicity": 0.01} for _ in request["TextSegments"]]}
        case "DetectPiiEntities":
            return {"Entities": []}
        case "ClassifyDocument":
            return {
                "Classes": [{"Name": "SAFE_PROMPT", "Score": 0.99}, {"Name": "UNSAFE_PROMPT", "Score": 0.01}]
            }
        case "InvokeGuardrailChecks":
            results: dict[str, Any] = {}
            for check in ("contentFilter", "promptAttack"):
                if check in request["checks"]:
                    categories = request["checks"][check]["categories"]
                    results[check] = {"results": [{**each, "severityScore": 0.0} for each in categories]}
            if "sensitiveInformation" in request["checks"]:
                results["sensitiveInformation"] = {"results": [], "truncated": False}
            return {"results": results, "usage": {}}
        case _:
            return {"action": "NONE", "outputs": [], "assessments": [{}], "usage": {}}


class Service:
    """A server that answers with ``answer`` after ``seconds``, unless ``mode`` says otherwise, and
    counts its requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer: Answer = harmless
        self.mode = "ok"
        self.seconds = 0.0
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.throttle_first = 0
        self.over = threading.Event()

    def session(self) -> boto3.Session:
        return _session()

    @property
    def texts(self) -> list[str]:
        return [json.dumps(request) for _, request in self.asked]


@cache
def _session() -> boto3.Session:
    """Return one session for all, since the service models take long to load."""
    return boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1")


@contextmanager
def serving() -> Iterator[Service]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.service = Service(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.service  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        service: Service = self.server.service  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        target = self.headers.get("X-Amz-Target", "")
        operation = target.rpartition(".")[2] or (
            "InvokeGuardrailChecks" if self.path == "/guardrail-checks/invoke" else "ApplyGuardrail"
        )
        service.asked.append((operation, body))
        time.sleep(service.seconds)
        match service.mode:
            case "error":
                self._send(
                    500, {"__type": "InternalServerException", "message": "no"}, "InternalServerException"
                )
            case "throttled":
                self._send(
                    400 if target else 429,
                    {"__type": "ThrottlingException", "message": "slow down"},
                    "ThrottlingException",
                )
            case "wrong body":
                self._send_raw(200, b"<html>a proxy's page</html>")
            case "empty body":
                self._send(200, {})
            case "timeout":
                service.over.wait(30)
            case _ if service.throttle_first > 0:
                service.throttle_first -= 1
                self._send(400 if target else 429, {"__type": "ThrottlingException"}, "ThrottlingException")
            case _:
                try:
                    self._send(200, service.answer(operation, body))
                except Exception as error:  # noqa: BLE001 - the answer of a service that failed
                    self._send(
                        500,
                        {"__type": "InternalServerException", "message": type(error).__name__},
                        "InternalServerException",
                    )

    def _send(self, status: int, body: dict[str, Any], error: str = "") -> None:
        self._send_raw(status, json.dumps(body).encode(), error)

    def _send_raw(self, status: int, body: bytes, error: str = "") -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            if error:
                self.send_header("x-amzn-ErrorType", error)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_: object) -> None:
        pass
