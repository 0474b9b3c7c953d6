"""Requests from unknown callers, over real connections: little of them is read, and nobody else has to wait."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage

from fmops.assistant.admission import GUARDED, SECURITY_HEADERS
from fmops.assistant.caller import caller
from fmops.assistant.server import BoundedConnection
from tests.assistant.test_service import Service, service

MOST = 4096
PIECE = b"x" * 65_536


class Hasty(BoundedConnection):
    """A server that waits for headers only briefly, and counts what it was given."""

    receive_seconds = 0.5
    received = 0

    def data_received(self, data: bytes) -> None:
        type(self).received += len(data)
        super().data_received(data)


@dataclass
class Server:
    """A real uvicorn on loopback."""

    port: int
    it: Service
    running: uvicorn.Server

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes, and return the answer until the server closes the connection."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return answer(client)


def answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    got = b""
    try:
        while piece := client.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}, body


@pytest.fixture
def server() -> Iterator[Server]:
    script = iter([AIMessage("Good morning.") for _ in range(5)])
    it = Service(script, max_body_bytes=MOST, receive_seconds=0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        it.app,
        log_level="critical",
        access_log=False,
        http=Hasty,
        ws="none",
        h11_max_incomplete_event_size=8192,
        limit_concurrency=20,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    Hasty.received = 0
    yield Server(listening.getsockname()[1], it, running)
    running.should_exit = True
    thread.join(20)


def client() -> TestClient:
    return TestClient(service().app)


def post(body: bytes = b"", *, token: str = "good", **headers: str) -> bytes:
    given = {"content-length": str(len(body)), "authorization": f"Bearer {token}", **headers}
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    head = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def question(text: str = "Good morning") -> bytes:
    return json.dumps({"model": "claims-desk", "messages": [{"role": "user", "content": text}]}).encode()


def told(response: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Return status and code of an error in OpenAI's shape, after which the connection was closed."""
    status, headers, body = response
    assert headers["connection"] == "close"
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    return status, str(error["code"])


def test_a_question_is_answered(server: Server) -> None:
    status, _, body = server.send(post(question(), connection="close"))
    assert status == 200
    assert b"Good morning." in body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("token", ["good", "forged", ""])
def test_no_large_body_is_read(server: Server, token: str, chunked: bool) -> None:
    size = (
        {"content-length": "", "transfer-encoding": "chunked"} if chunked else {"content-length": "104857600"}
    )
    with server.connect() as client:
        client.sendall(post(token=token, **size))
        if chunked and token == "good":
            client.sendall(b"1001\r\n" + b"x" * 0x1001 + b"\r\n")
        expected = (413, "request_too_large") if token == "good" else (401, "invalid_token")
        assert told(answer(client)) == expected
    assert Hasty.received < 3 * MOST


def test_who_floods_without_a_token_is_cut_off(server: Server) -> None:
    with server.connect() as client:
        client.sendall(post(token="forged", **{"content-length": "104857600"}))
        sent = 0
        try:
            while sent < 104_857_600:
                sent += client.send(PIECE)
        except OSError:
            pass
    assert Hasty.received < 5_000_000
    assert not server.it.sink.records


def test_a_body_of_the_most_passes_and_one_byte_more_does_not(server: Server) -> None:
    padding = MOST - len(question(""))
    assert server.send(post(question("x" * padding), connection="close"))[0] == 200
    assert told(server.send(post(question("x" * (padding + 1)))))[0] == 413


def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    assert told(server.send(post(**{"content-length": "100"}), b"{")) == (408, "request_timeout")


def test_headers_that_do_not_come_are_given_up(server: Server) -> None:
    assert told(server.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")) == (408, "request_timeout")
    with server.connect() as silent:
        assert silent.recv(100) == b""


def test_the_second_request_of_a_connection_has_the_same_time(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /he")
        assert told(answer(client)) == (408, "request_timeout")


def test_large_headers_and_what_is_no_http_are_refused(server: Server) -> None:
    assert told(server.send(post(question(), **{"x-padding": "x" * 600_000})))[0] == 400
    assert told(server.send(b"nonsense\r\n\r\n"))[0] == 400


def test_health_answers_while_half_sent_requests_wait(server: Server) -> None:
    waiting = [server.connect() for _ in range(15)]
    for client in waiting:
        client.sendall(post(**{"content-length": "100"}))
    assert server.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")[0] == 200
    for client in waiting:
        client.close()


def test_connections_are_bounded_and_health_is_answered_until_then(server: Server) -> None:
    held = [server.connect() for _ in range(30)]
    assert server.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")[0] == 200
    held += [server.connect() for _ in range(30)]
    assert told(answer(held[-1])) == (503, "overloaded")
    for client in held:
        client.close()


def test_requests_above_the_most_are_refused_but_for_health_checks(server: Server) -> None:
    held = [server.connect() for _ in range(20)]
    for client in held:
        client.sendall(post(**{"content-length": "100"}))
    while len(server.running.server_state.tasks) < 20:
        time.sleep(0.01)
    status, headers, body = server.send(post(question(), connection="close"))
    assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
    assert int(headers["retry-after"]) >= 1
    assert server.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")[0] == 200
    for client in held:
        client.close()


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/openapi.json", "/nowhere", "/v1/models", "/v1/nowhere"]
)
@pytest.mark.parametrize("token", ["good", ""])
def test_every_response_has_the_security_headers(path: str, token: str) -> None:
    headers = client().get(path, headers={"authorization": f"Bearer {token}"}).headers
    policy = headers["content-security-policy"]
    assert set(SECURITY_HEADERS["content-security-policy"].split("; ")) <= set(policy.split("; "))
    others = SECURITY_HEADERS.keys() - {"content-security-policy"}
    assert {name: headers[name] for name in others} == {name: SECURITY_HEADERS[name] for name in others}


def test_the_host_header_makes_no_address() -> None:
    asking = client()
    headers = {"authorization": "Bearer good", "host": "evil.example", "x-forwarded-host": "evil.example"}
    for path in ("/v1/models/", "/healthz/", "/v1/chat/completions/"):
        response = asking.get(path, headers=headers, follow_redirects=False)
        assert response.status_code in (404, 405)
        assert "location" not in response.headers
        assert "evil" not in response.text


def test_every_route_that_knows_its_caller_is_behind_the_admission() -> None:
    guarded = {
        route.path: caller in [each.call for each in _dependencies(route.dependant)]
        for route in service().app.routes
        if isinstance(route, APIRoute)
    }
    assert guarded
    for path, asks in guarded.items():
        assert path.startswith(GUARDED) == asks, path


def _dependencies(dependant: Any) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each
        yield from _dependencies(each)


def test_feedback_is_limited_for_each_person() -> None:
    asking = client()
    body = {"interaction_id": "int-" + "0" * 32, "rating": "up"}
    answers = [
        asking.post("/v1/feedback", json=body, headers={"authorization": "Bearer good"}) for _ in range(40)
    ]
    refused = [each for each in answers if each.status_code == 429]
    assert len(refused) in range(5, 11)
    assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused[0].headers["retry-after"]) >= 1
