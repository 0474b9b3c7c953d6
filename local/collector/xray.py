"""The awsxray exporter: an OpenTelemetry span as an X-Ray segment document.

Source of the rules: the exporter's recorded output (tests/local/golden) and its documentation.
"""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import urlunsplit

from local.collector.telemetry import Attributes, Event, Span
from observability.collector.config import AwsXray

HTTP = {
    "http.request.method", "http.method", "http.response.status_code", "http.status_code", "url.full", "http.url",
    "url.path", "http.target", "url.scheme", "http.scheme", "url.query", "server.address", "server.port", "net.host.name",
    "net.host.port", "http.host", "client.address", "client.port", "http.client_ip", "user_agent.original",
    "http.user_agent", "http.response.body.size", "http.response_content_length", "net.peer.ip", "net.peer.port",
    "network.peer.address", "network.peer.port", "network.protocol.version", "http.flavor",
}  # fmt: skip
AWS = {"rpc.method", "aws.region", "aws.request_id", "aws.operation", "aws.account"}
INVALID_NAME = re.compile(r"[^ 0-9\w.:/%&#=+\-@]")


def segment(span: Span, settings: AwsXray) -> dict[str, Any]:
    """The document of a span: a segment for a SERVER span or a root, else a subsegment."""
    is_segment = span.kind == "SERVER" or not span.parent_id
    status = _integer(span.attributes, "http.response.status_code", "http.status_code")
    throttle = status == 429
    client_error = status is not None and 400 <= status < 500
    document: dict[str, Any] = {
        "name": INVALID_NAME.sub("", _name(span)),
        "id": span.span_id,
        "start_time": span.start / 1e9,
        "end_time": span.end / 1e9,
        "trace_id": f"1-{span.trace_id[:8]}-{span.trace_id[8:]}",
        "fault": span.status == "ERROR" and not client_error,
        "error": span.status == "ERROR" and client_error,
        "throttle": span.status == "ERROR" and throttle,
        "aws": _aws(span),
    }
    if version := span.resource.get("service.version"):
        document["service"] = {"version": version}
    if http := _http(span, status):
        document["http"] = http
    if cause := _cause(span):
        document["cause"] = cause
    annotations, metadata = _annotated(span, settings, with_resource=is_segment)
    if annotations:
        document["annotations"] = annotations
    if metadata:
        document["metadata"] = {"default": metadata}
    if not is_segment:
        document["type"] = "subsegment"
        if span.kind == "CLIENT":
            document["namespace"] = "aws" if span.attributes.get("rpc.system") == "aws-api" else "remote"
    if span.parent_id:
        document["parent_id"] = span.parent_id
    return document


def _name(span: Span) -> str:
    if span.kind == "SERVER":
        return str(span.resource.get("service.name", span.name))
    if span.attributes.get("rpc.system") == "aws-api":
        return str(span.attributes.get("rpc.service", span.name))
    return span.name


def _aws(span: Span) -> dict[str, Any]:
    resource, values = span.resource, span.attributes
    aws: dict[str, Any] = {
        "xray": {
            "sdk": f"{resource.get('telemetry.sdk.name', 'opentelemetry')} for {resource.get('telemetry.sdk.language', '')}",
            "sdk_version": resource.get("telemetry.sdk.version", ""),
            "auto_instrumentation": bool(resource.get("telemetry.auto.version")),
        }
    }
    operation = values.get("aws.operation") or (
        values.get("rpc.method") if values.get("rpc.system") == "aws-api" else None
    )
    found = {
        "operation": operation,
        "region": values.get("aws.region"),
        "request_id": values.get("aws.request_id"),
    }
    return aws | {key: value for key, value in found.items() if value}


def _http(span: Span, status: int | None) -> dict[str, Any] | None:
    values = span.attributes
    request: dict[str, Any] = {}
    if method := values.get("http.request.method") or values.get("http.method"):
        request["method"] = method
    if url := _url(values):
        request["url"] = url
    if agent := values.get("user_agent.original") or values.get("http.user_agent"):
        request["user_agent"] = agent
    if client := values.get("client.address") or values.get("http.client_ip"):
        request |= {"client_ip": client, "x_forwarded_for": True}
    elif peer := values.get("network.peer.address") or values.get("net.peer.ip"):
        request["client_ip"] = peer
    if not request and status is None:
        return None
    length = _integer(values, "http.response.body.size", "http.response_content_length") or 0
    return {
        "request": request,
        "response": ({"status": status} if status is not None else {}) | {"content_length": length},
    }


def _url(values: Attributes) -> str:
    if full := values.get("url.full") or values.get("http.url"):
        return str(full)
    host = values.get("server.address") or values.get("net.host.name") or values.get("http.host")
    if not host:
        return ""
    port = values.get("server.port") or values.get("net.host.port")
    scheme = values.get("url.scheme") or values.get("http.scheme") or "http"
    netloc = f"{host}:{port}" if port and port not in (80, 443) else str(host)
    path = values.get("url.path") or values.get("http.target") or ""
    return str(urlunsplit((scheme, netloc, path, values.get("url.query") or "", "")))


def _cause(span: Span) -> dict[str, Any] | None:
    if span.status != "ERROR":
        return None
    exceptions = [
        _exception(event, remote=span.kind == "CLIENT") for event in span.events if event.name == "exception"
    ]
    if not exceptions and span.message:
        exceptions = [
            {"id": secrets.token_hex(8), "message": span.message, "type": "", "remote": span.kind == "CLIENT"}
        ]
    return {"exceptions": exceptions} if exceptions else None


def _exception(event: Event, *, remote: bool) -> dict[str, Any]:
    frames = re.findall(
        r'File "([^"]+)", line (\d+), in (\S+)', str(event.attributes.get("exception.stacktrace", ""))
    )
    exception = {
        "id": secrets.token_hex(8),
        "message": event.attributes.get("exception.message", ""),
        "type": event.attributes.get("exception.type", ""),
        "remote": remote,
        "stack": [
            {"path": path, "line": int(line), "label": label} for path, line, label in reversed(frames)
        ],
    }
    return exception if exception["stack"] else {k: v for k, v in exception.items() if k != "stack"}


def _annotated(span: Span, settings: AwsXray, *, with_resource: bool) -> tuple[Attributes, Attributes]:
    annotations: Attributes = {}
    metadata: Attributes = {}
    for key, value in span.attributes.items():
        if key in HTTP or key in AWS:
            continue
        scalar = isinstance(value, str | int | float | bool)
        if scalar and (settings.index_all_attributes or key in settings.indexed_attributes):
            annotations[key] = value
        else:
            metadata[key] = value
    if with_resource:
        metadata |= {f"otel.resource.{key}": value for key, value in span.resource.items()}
    return annotations, metadata


def _integer(values: Attributes, *names: str) -> int | None:
    return next((int(values[name]) for name in names if name in values), None)
