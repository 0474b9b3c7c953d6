"""The awsxray exporter: an OpenTelemetry span as X-Ray segment documents.

Source of the rules: the translator of contrib 0.156 (exporter/awsxrayexporter) and its recorded output. The
tables of tests/local/golden hold cases of each rule.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from local.collector.telemetry import Attributes, Span, attributes, integer, raw, text
from local.collector.xray_aws import aws_block, origin
from local.collector.xray_cause import cause, has_exceptions
from local.collector.xray_http import http_block
from observability.collector.config import AwsXray

Document = dict[str, Any]

SQL_SYSTEMS = {
    "db2", "derby", "hive", "mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite", "teradata",
    "other_sql",
}  # fmt: skip
SQL_ATTRIBUTES = {"db.connection_string", "db.system", "db.name", "db.statement", "db.user"}
NAME_SYMBOLS = set(" 0123456789_.:/%&#=+-@")
NAME_BYTES = 200
REMOTE_KINDS = ("CLIENT", "PRODUCER", "CONSUMER")
ANNOTATIONS = "aws.xray.annotations"
"""A span attribute that lists the keys to index."""
METADATA_PREFIX = "aws.xray.metadata."
ONLY_REMOTE = ("aws.remote.service", "aws.remote.operation", "remoteTarget", "K8s.RemoteNamespace")


def documents(span: Span, settings: AwsXray) -> list[Document]:
    """Return what the exporter sends for a span: two documents if a service's first span is a call."""
    if span.attributes.get("aws.span.kind") != "LOCAL_ROOT":
        document = segment(span, settings)
        if span.kind in REMOTE_KINDS and "type" in document and "aws.remote.service" in span.attributes:
            document.setdefault("namespace", "remote")
        return [document]
    if span.kind not in REMOTE_KINDS:
        document = segment(span, settings)
        document.pop("type", None)
        document.pop("namespace", None)
        return [document]
    service_id = secrets.token_hex(8)
    return [_dependency(span, settings, service_id), _service(span, settings, service_id)]


def segment(span: Span, settings: AwsXray) -> Document:
    """Return the document of one span: a segment for a SERVER span or a root, otherwise a subsegment."""
    is_segment = span.kind == "SERVER" or not span.parent_id
    values, http = http_block(span)
    if span.status == "ERROR" and not has_exceptions(span):
        values.pop("http.status_text", None)
    values, aws = aws_block(values, span.resource, settings.aws_log_groups)
    sql = _sql(span, values)
    if sql is not None:
        values = {key: value for key, value in values.items() if key not in SQL_ATTRIBUTES}
    document: Document = {
        "name": segment_name(span),
        "id": span.span_id,
        "start_time": span.start / 1e9,
        "end_time": span.end / 1e9,
        "trace_id": xray_trace_id(span.trace_id),
        **_outcome(span),
    }
    optional = {
        "parent_id": span.parent_id,
        "type": "" if is_segment else "subsegment",
        "namespace": _namespace(span),
        "origin": origin(span.resource),
        "user": text(values.pop("enduser.id", None)),
    }
    document |= {key: value for key, value in optional.items() if value}
    blocks = {
        "http": http,
        "aws": aws,
        "sql": sql,
        "service": _service_block(span.resource),
        "cause": cause(span),
    }
    document |= {key: value for key, value in blocks.items() if value is not None}
    if links := _links(span):
        document["links"] = links
    for key in settings.indexed_attributes:
        # An attribute that another block used is indexed as well if the configuration names it.
        if key in span.attributes and key != "enduser.id":
            values.setdefault(key, span.attributes[key])
    return document | _annotated(values, span.resource if is_segment else {}, settings)


def xray_trace_id(trace_id: str) -> str:
    """Return a W3C trace id in X-Ray's form."""
    padded = trace_id.rjust(32, "0")
    return f"1-{padded[:8]}-{padded[8:]}"


def encode(document: Document) -> str | None:
    """Return a document's JSON, or ``None`` for one with a number that JSON does not have, which is not
    sent.
    """
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        return None


def segment_name(span: Span) -> str:
    """Return the first name that identifies what was called; only a span's own name is cleaned and cut."""
    values = span.attributes
    candidates = [
        *_names_before_service(span),
        text(values.get("aws.service")),
        _database_name(values),
        text(span.resource.get("service.name")) if span.kind == "SERVER" else "",
        text(values.get("rpc.service")),
        text(values.get("http.host")),
        text(values.get("net.peer.name")),
    ]
    return next((name for name in candidates if name), None) or _clean(span.name)


def _names_before_service(span: Span) -> list[str]:
    values = span.attributes
    is_root = span.kind == "INTERNAL" and values.get("aws.span.kind") == "LOCAL_ROOT"
    remote = _without_sdk_prefix(text(values.get("aws.remote.service")), span)
    return [
        text(values.get("aws.local.service")) if span.kind == "SERVER" or is_root else "",
        remote if span.kind in REMOTE_KINDS else "",
        text(values.get("peer.service")),
    ]


def _clean(name: str) -> str:
    kept = "".join(c for c in name if c in NAME_SYMBOLS or unicodedata.category(c).startswith("L"))
    return kept.encode()[:NAME_BYTES].decode(errors="replace") or "span"


def _database_name(values: Attributes) -> str:
    name = text(values.get("db.name"))
    if "db.name" not in values or "db.connection_string" not in values:
        return name
    try:
        place = urlsplit(text(values["db.connection_string"]).removeprefix("jdbc:")).netloc.rpartition("@")[2]
    except ValueError:
        place = ""
    host = place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
    return f"{name}@{host}" if host else name


def _is_aws_sdk(span: Span) -> bool:
    return span.attributes.get("rpc.system") == "aws-api"


def _without_sdk_prefix(name: str, span: Span) -> str:
    if not _is_aws_sdk(span):
        return name
    return name.removeprefix("AWS.SDK.") if name.startswith("AWS.SDK.") else name.removeprefix("AWS::")


def _namespace(span: Span) -> str:
    if _is_aws_sdk(span):
        return "aws"
    if "aws.service" in span.attributes and not any(_names_before_service(span)):
        return "aws"
    return "remote" if span.kind == "CLIENT" else ""


def _outcome(span: Span) -> Document:
    """Return fault, error and throttle, from the HTTP status if there is one, otherwise from the span's
    status.
    """
    values = span.attributes
    code = integer(values.get("http.status_code", values.get("http.response.status_code")))
    return {
        "fault": code >= 500 if 400 <= code <= 599 else span.status == "ERROR",
        "error": 400 <= code <= 499,
        "throttle": code == 429,
    }


def _service_block(resource: Attributes) -> Document | None:
    for key in ("service.version", "container.image.tag"):
        if key in resource:
            version = text(resource[key])
            return {"version": version} if version else {}
    return None


def _sql(span: Span, values: Attributes) -> Document | None:
    system = text(values.get("db.system"))
    if system not in SQL_SYSTEMS:
        return None
    connection = text(values.get("db.connection_string")) or "localhost"
    block = {
        "url": span.name,
        "connection_string": f"{connection}/{text(values.get('db.name'))}",
        "database_type": system,
        "user": text(values.get("db.user")),
        "sanitized_query": text(values.get("db.statement")),
    }
    return {key: value for key, value in block.items() if value}


def _links(span: Span) -> list[Document]:
    links = []
    for link in span.received.links:
        document: Document = {"trace_id": xray_trace_id(link.trace_id.hex()), "id": link.span_id.hex()}
        if link.attributes:
            document["attributes"] = raw(attributes(link.attributes))
        links.append(document)
    return links


def _annotated(values: Attributes, resource: Attributes, settings: AwsXray) -> Document:
    """Return annotations, which X-Ray indexes, and metadata, which it only stores."""
    annotations: Attributes = {}
    default: Attributes = {}
    metadata: dict[str, Any] = {}
    indexed = set() if settings.index_all_attributes else set(settings.indexed_attributes)
    if isinstance(values.get(ANNOTATIONS), list):
        indexed |= {key for key in values.pop(ANNOTATIONS) if isinstance(key, str)}
    for name, value in resource.items():
        key = f"otel.resource.{name}"
        if is_scalar(value) and (settings.index_all_attributes or key in indexed):
            annotations[annotation_key(key)] = value
        elif value is not None:
            default[key] = raw(value)
    for key, value in values.items():
        if settings.index_all_attributes or key in indexed:
            if is_scalar(value):
                annotations[annotation_key(key)] = value
        elif key.startswith(METADATA_PREFIX) and isinstance(value, str):
            _add_metadata(key, value, default, metadata)
        elif value is not None:
            default[key] = raw(value)
    if default:
        metadata["default"] = default
    return {key: block for key, block in (("annotations", annotations), ("metadata", metadata)) if block}


def _add_metadata(key: str, value: str, default: Attributes, metadata: dict[str, Any]) -> None:
    """Add an attribute whose key names a namespace and whose value is that namespace's JSON object."""
    namespace = key.removeprefix(METADATA_PREFIX)
    try:
        content = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        content = value
    if content is not None and not isinstance(content, dict):
        default[key] = value
    elif namespace.lower() == "default":
        default.update(content or {})
    else:
        metadata[namespace] = content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def annotation_key(key: str) -> str:
    """Return a key that filter expressions can name: ASCII letters, digits, dots and underscores."""
    return "".join(c if c.isascii() and (c.isalnum() or c == ".") else "_" for c in key)


def _dependency(span: Span, settings: AwsXray, service_id: str) -> Document:
    called = span.copy()
    called.parent_id = service_id
    document = {**segment(called, settings), "type": "subsegment"}
    document.setdefault("namespace", "remote")
    if span.kind == "CONSUMER":
        document.pop("links", None)
    if "aws.remote.service" in span.attributes:
        document["name"] = _without_sdk_prefix(text(span.attributes["aws.remote.service"]), span)
    return document


def _service(span: Span, settings: AwsXray, service_id: str) -> Document:
    serving = span.copy()
    serving.span_id = service_id
    for key in ONLY_REMOTE:
        serving.attributes.pop(key, None)
    document = segment(serving, settings)
    if "aws.local.service" in span.attributes:
        document["name"] = text(span.attributes["aws.local.service"])
    for key in ("http", "type", "namespace", *(() if span.kind == "CONSUMER" else ("links",))):
        document.pop(key, None)
    for key in ("operation", "account_id", "region", "request_id", "queue_url", "table_name", "table_names"):
        document.get("aws", {}).pop(key, None)
    metadata = {
        namespace: kept
        for namespace, block in document.pop("metadata", {}).items()
        if (kept := {k: v for k, v in (block or {}).items() if k.startswith("otel.resource.")})
    }
    return document | ({"metadata": metadata} if metadata else {})
