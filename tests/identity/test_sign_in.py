"""The sign-in that the pages are told of: the issuer's own endpoints, checked, and read apart from requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fmops.assistant.admission import Admission, SecurityHeaders
from fmops.assistant.page_routes import Pages
from fmops.assistant.service import NO_ISSUER
from fmops.assistant.sign_in_routes import add_sign_in_route
from fmops.identity.sign_in import COOLDOWN, LIFESPAN, SignIn
from tests.assistant.test_service import service

COGNITO = "https://desk.auth.eu-west-1.amazoncognito.com"


class Published:
    """An issuer's discovery document over HTTP, which tests change."""

    def __init__(self) -> None:
        self.status, self.asked, self.go = 200, 0, threading.Event()
        self.go.set()
        published = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                published.go.wait(20)
                published.asked += 1
                body = published.body
                self.send_response(published.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/pool"
        self.write()

    def write(self, **changes: Any) -> None:
        """Publish the document as Cognito does, with changes; None leaves a member out."""
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{COGNITO}/oauth2/authorize",
            "token_endpoint": f"{COGNITO}/oauth2/token",
            "revocation_endpoint": f"{COGNITO}/oauth2/revoke",
            "end_session_endpoint": f"{COGNITO}/logout",
            "response_types_supported": ["code", "token"],
            **changes,
        }
        present = {name: value for name, value in document.items() if value is not None}
        self.body = json.dumps(present).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def published() -> Iterator[Published]:
    published = Published()
    yield published
    published.go.set()
    published.close()


def signed_in(published: Published, **more: Any) -> SignIn:
    sign_in = SignIn(published.issuer, "client-1", **more)
    sign_in.refresh()
    return sign_in


def background(sign_in: SignIn) -> dict[str, Any]:
    """Return the description after the reading that asking for it has begun."""
    sign_in.described()
    for thread in threading.enumerate():
        if thread.name == "sign-in":
            thread.join(20)
    return sign_in.described()


def test_the_pages_are_told_the_issuers_endpoints(published: Published) -> None:
    sign_in = signed_in(published, logout="cognito")
    assert sign_in.described() == {
        "available": True,
        "client_id": "client-1",
        "authorization_endpoint": f"{COGNITO}/oauth2/authorize",
        "token_endpoint": f"{COGNITO}/oauth2/token",
        "end_session_endpoint": f"{COGNITO}/logout",
        "revocation_endpoint": f"{COGNITO}/oauth2/revoke",
        "logout": "cognito",
        "scope": "openid",
    }
    assert sign_in.connect_origins() == (COGNITO,)


def test_each_origin_that_a_page_calls_is_told_once(published: Published) -> None:
    published.write(
        token_endpoint="https://Tokens.Example.com:8443/t?p=1",
        revocation_endpoint="http://localhost:4566/r",
        authorization_endpoint="https://elsewhere.example.com/a",
    )
    origins = signed_in(published).connect_origins()
    assert origins == ("https://tokens.example.com:8443", "http://localhost:4566")


def test_what_an_issuer_need_not_have_may_be_missing(published: Published) -> None:
    published.write(revocation_endpoint=None, end_session_endpoint=None, response_types_supported=None)
    told = signed_in(published).described()
    assert (told["available"], told["end_session_endpoint"], told["revocation_endpoint"]) == (
        True,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "https://evil.example"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"issuer": 7}, "another issuer"),
        ({"authorization_endpoint": None}, "authorization_endpoint is missing"),
        ({"token_endpoint": None}, "token_endpoint is missing"),
        ({"token_endpoint": ""}, "token_endpoint is missing"),
        ({"token_endpoint": ["https://a.example"]}, "token_endpoint is missing"),
        ({"token_endpoint": "http://tokens.example/t"}, "token_endpoint is not https"),
        ({"authorization_endpoint": "http://localhost.example/a"}, "is not https"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "is not an address"),
        ({"authorization_endpoint": "data:text/html,x"}, "is not an address"),
        ({"authorization_endpoint": "ftp://a.example/a"}, "is not https"),
        ({"authorization_endpoint": "//a.example/a"}, "is not https"),
        ({"token_endpoint": "https:///t"}, "is not an address"),
        ({"token_endpoint": "https://me:pw@a.example/t"}, "is not an address"),
        ({"token_endpoint": "https://a.example/t#x"}, "is not an address"),
        ({"token_endpoint": "https://a.example; script-src *"}, "is not an address"),
        ({"token_endpoint": "https://a.example;script-src/x"}, "is not an address"),
        ({"token_endpoint": "https://a.example,b/x"}, "is not an address"),
        ({"token_endpoint": "https://*.example/x"}, "is not an address"),
        ({"token_endpoint": "https://a.example:x/"}, "is not an address"),
        ({"token_endpoint": "https://a.example:99999/"}, "is not an address"),
        ({"token_endpoint": "https://[::1/"}, "is not an address"),
        ({"token_endpoint": "https://a.example/\n"}, "is not an address"),
        ({"token_endpoint": "https://ä.example/"}, "is not an address"),
        ({"revocation_endpoint": "http://a.example/r"}, "revocation_endpoint is not https"),
        ({"end_session_endpoint": 5}, "end_session_endpoint is missing"),
        ({"code_challenge_methods_supported": ["plain"]}, "S256"),
        ({"code_challenge_methods_supported": []}, "S256"),
        ({"code_challenge_methods_supported": "S256"}, "S256"),
        ({"response_types_supported": ["id_token"]}, "without code"),
    ],
)
def test_a_document_that_pages_cannot_trust_is_not_used(
    published: Published, changes: dict[str, Any], words: str
) -> None:
    published.write(**changes)
    sign_in = signed_in(published)
    told = sign_in.described()
    assert told["available"] is False
    assert words in told["reason"]
    assert "identity.sign_in.enabled" in told["reason"]
    assert sign_in.connect_origins() == ()


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:1/t",
        "http://127.0.0.1/t",
        "http://127.9.9.9:1/t",
        "http://[::1]:1/t",
        "HTTPS://a.example",
    ],
)
def test_plain_http_is_for_this_machine_only(published: Published, address: str) -> None:
    published.write(token_endpoint=address, code_challenge_methods_supported=["plain", "S256"])
    assert signed_in(published).described()["available"] is True


def test_a_pool_without_pages_is_told_with_the_remedy(published: Published) -> None:
    published.write(authorization_endpoint=None, token_endpoint=None)
    assert "no sign-in pages" in signed_in(published, logout="cognito").described()["reason"]


def test_a_deployment_without_sign_in_asks_nobody(published: Published) -> None:
    sign_in = signed_in(published, refusal="It is off: turn it on.")
    assert background(sign_in) == {"available": False, "reason": "It is off: turn it on."}
    assert sign_in.connect_origins() == ()
    assert published.asked == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b"\xff"), (200, b"[" * 100_000)],
)
def test_while_the_document_cannot_be_read_people_are_told_to_try_again(
    published: Published, status: int, body: bytes
) -> None:
    published.status, published.body = status, body
    told = signed_in(published).described()
    assert told["available"] is False
    assert "try again" in told["reason"]


def test_the_document_is_refreshed_in_the_background(published: Published) -> None:
    clock = Clock()
    sign_in = signed_in(published, clock=clock)
    published.write(token_endpoint="https://new.example/t")
    clock.now += LIFESPAN - 1
    assert background(sign_in)["token_endpoint"] == f"{COGNITO}/oauth2/token"
    clock.now += 1
    published.go.clear()
    for _ in range(20):
        assert sign_in.described()["token_endpoint"] == f"{COGNITO}/oauth2/token", "nobody waits"
    published.go.set()
    assert background(sign_in)["token_endpoint"] == "https://new.example/t"
    assert published.asked == 2, "one reading at a time"


def test_the_last_document_serves_while_the_issuer_is_away(published: Published) -> None:
    clock = Clock()
    sign_in = signed_in(published, clock=clock)
    published.status = 503
    clock.now += LIFESPAN
    assert background(sign_in)["available"] is True
    asked = published.asked
    clock.now += COOLDOWN - 1
    assert background(sign_in)["available"] is True
    assert published.asked == asked
    published.status = 200
    published.write(token_endpoint="http://evil.example/t")
    clock.now += 1
    assert background(sign_in)["available"] is False, "an unfit document is no outage"


def test_without_a_thread_nobody_waits_and_the_next_request_tries_again(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    sign_in = SignIn(published.issuer, "client-1", clock=clock)
    with monkeypatch.context() as patched:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patched.setattr(threading.Thread, "start", refuse)
        assert sign_in.described()["available"] is False
    clock.now += COOLDOWN
    assert background(sign_in)["available"] is True


def test_the_route_is_public_and_not_cached(published: Published) -> None:
    app = FastAPI()

    async def nobody(_: str | None) -> Any:
        raise AssertionError("no token is looked at")

    app.add_middleware(Admission, admit=nobody)
    app.add_middleware(SecurityHeaders)
    sign_in = signed_in(published)
    add_sign_in_route(app, sign_in)
    answer = TestClient(app).get("/sign-in.json")
    assert answer.json() == sign_in.described()
    assert answer.headers["cache-control"] == "no-store"
    assert app.state.sign_in is sign_in


def test_the_pages_may_call_the_issuer_and_nobody_else(published: Published) -> None:
    policy = Pages(signed_in(published).connect_origins).shell("home").headers["content-security-policy"]
    assert f"connect-src 'self' {COGNITO};" in policy


def test_an_assistant_without_an_issuer_says_so() -> None:
    client = TestClient(service().app)
    assert client.get("/sign-in.json").json() == {"available": False, "reason": NO_ISSUER}
    assert "connect-src 'self';" in client.get("/").headers["content-security-policy"]
