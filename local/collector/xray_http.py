"""The ``http`` block of a segment, and the attributes that it takes from the rest."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from local.collector.telemetry import Attributes, Span, integer, text

ALIASES = {
    "http.request.method": "http.method",
    "user_agent.original": "http.user_agent",
    "http.response.status_code": "http.status_code",
    "url.full": "http.url",
    "url.scheme": "http.scheme",
}
"""Names of the current conventions with the older ones that the exporter treats alike."""
MAKES_BLOCK = {
    "http.method", "http.client_ip", "http.user_agent", "http.status_code", "http.url", "http.scheme",
    "http.host", "http.target", "http.server_name", "net.host.port", "url.path", "url.query",
}  # fmt: skip
"""Attributes that give a span the block."""
MAKES_URL = {
    "http.url", "http.host", "http.server_name", "host.name", "net.host.name", "net.peer.name",
    "net.peer.ip", "server.address",
}  # fmt: skip
TAKEN = MAKES_BLOCK | MAKES_URL | {"net.peer.port", "server.port", "client.address", "network.peer.address"}
PORTS = {"net.host.port", "net.peer.port", "server.port"}
SERVER_HOSTS = ("http.server_name", "net.host.name", "host.name", "server.address")
CLIENT_HOSTS = ("net.peer.name", "net.peer.ip")


def http_block(span: Span) -> tuple[Attributes, dict[str, Any] | None]:
    """Return the attributes that are not HTTP's, and the block if the span has any attribute of HTTP."""
    parts: dict[str, str] = {}
    request: dict[str, Any] = {}
    response: dict[str, Any] = {}
    rest: Attributes = {}
    seen: set[str] = set()
    client, has_peer = "", False
    for key, value in span.attributes.items():
        name = ALIASES.get(key, key)
        if name not in TAKEN:
            rest[key] = value
            continue
        seen.add(name)
        if name == "http.status_code":
            response["status"] = integer(value)
        elif name == "http.client_ip" or (name == "client.address" and _is_address(value)):
            client = text(value)
        elif name == "net.peer.ip" or (name == "network.peer.address" and _is_address(value)):
            client, has_peer = client or text(value), True
        parts[name] = text(value) or (str(integer(value)) if name in PORTS else "")
    if not seen & MAKES_BLOCK:
        return rest, None
    address = _is_address(parts.get("network.peer.address"))
    if seen & MAKES_URL or address:
        request["url"] = _url(parts, SERVER_HOSTS if span.kind == "SERVER" else CLIENT_HOSTS, span.kind)
    request |= {
        "method": parts.get("http.method"),
        "user_agent": parts.get("http.user_agent"),
        "client_ip": client,
    }
    if client and not has_peer:
        request["x_forwarded_for"] = True
    response["content_length"] = _received([span.attributes, *(event.attributes for event in span.events)])
    return rest, {"request": {key: value for key, value in request.items() if value}, "response": response}


def _url(parts: dict[str, str], hosts: tuple[str, ...], kind: str) -> str:
    if "http.url" in parts:
        return parts["http.url"]
    scheme = parts.get("http.scheme", "http")
    port = ""
    if "http.host" in parts:
        host = parts["http.host"]
    else:
        host = next((parts[name] for name in hosts if name in parts), "")
        ports = ("net.host.port", "server.port") if kind == "SERVER" else ("net.peer.port",)
        port = next((parts[name] for name in ports if name in parts), "")
    url = f"{scheme}://{host}"
    if port and (scheme, port) not in (("http", "80"), ("https", "443")):
        url += f":{port}"
    if "http.target" in parts:
        return url + parts["http.target"]
    url += parts.get("url.path", "/")
    if "url.query" in parts:
        url += "?" + parts["url.query"].removeprefix("?")
    return url


def _received(places: Iterable[Attributes]) -> int:
    """Return the size of the message that was received, from the first place that has one."""
    return next((size for values in places if (size := _payload(values))), 0)


def _payload(values: Attributes) -> int:
    is_received = values.get("message.type") == "RECEIVED"
    return integer(values.get("messaging.message_payload_size_bytes")) if is_received else 0


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(text(value))
    except ValueError:
        return False
    return "%" not in text(value)
