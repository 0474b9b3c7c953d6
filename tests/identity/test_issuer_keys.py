"""The issuer's keys are read beside the requests: while it is slow or away, callers with a known key are
served.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fmops.identity.issuer_keys import UNKNOWN_KEYS, IssuerKeys, KeysUnavailableError, UnknownKeyError
from fmops.identity.tokens import (
    AuthenticationError,
    IdentityUnavailableError,
    TokenVerifier,
)
from tests.assistant.test_service import service
from tests.identity.test_identity import AUDIENCE, ISSUER, Issuer


class Slow(Issuer):
    """An issuer that answers once it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        answer = self._server.RequestHandlerClass.do_GET  # type: ignore[attr-defined]

        def waiting(handler: Any) -> None:
            self.go.wait(20)
            answer(handler)

        self._server.RequestHandlerClass.do_GET = waiting  # type: ignore[attr-defined]


@pytest.fixture
def issuer() -> Iterator[Slow]:
    issuer = Slow()
    yield issuer
    issuer.go.set()
    issuer.close()


def forged(issuer: Issuer, kid: str) -> str:
    stranger = Issuer()
    stranger.keys = {kid: stranger.keys["k1"]}
    stranger.close()
    return f"Bearer {stranger.token()}"


def verifier(issuer: Issuer, **more: Any) -> TokenVerifier:
    return TokenVerifier(issuer=ISSUER, audience=AUDIENCE, jwks_url=issuer.url, **more)


async def test_a_slow_issuer_stalls_nobody_whose_key_is_known(issuer: Slow) -> None:
    checks = verifier(issuer, key_cooldown=0)
    good = f"Bearer {issuer.token()}"
    await checks.admit(good)
    issuer.go.clear()
    unknown = [asyncio.ensure_future(checks.admit(forged(issuer, f"u{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    for _ in range(50):
        assert (await checks.admit(good)).subject == "s-1"
        assert checks.verify(good).subject == "s-1"
    assert not any(each.done() for each in unknown)
    issuer.go.set()
    for each in await asyncio.gather(*unknown, return_exceptions=True):
        assert isinstance(each, AuthenticationError)
    assert len(issuer.asked) <= 3, "one reading at a time"


def test_forged_key_ids_make_one_reading(issuer: Slow) -> None:
    checks = verifier(issuer)
    checks.verify(f"Bearer {issuer.token()}")
    for number in range(10):
        with pytest.raises(AuthenticationError, match="not valid"):
            checks.verify(forged(issuer, f"u{number}"))
    assert len(issuer.asked) == 1


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_known_keys_serve_for_a_bounded_time_while_the_issuer_is_away(issuer: Slow) -> None:
    clock = Clock()
    checks = verifier(issuer)
    checks.keys = IssuerKeys(ISSUER, issuer.url, max_age=3600, clock=clock)
    good = f"Bearer {issuer.token()}"
    checks.verify(good)
    issuer.close()
    for age in (301, 1000, 3500):
        clock.now = 1000 + age
        assert checks.verify(good).subject == "s-1"
        checks.keys.reading().result(20)
    clock.now = 1000 + 3601
    with pytest.raises(IdentityUnavailableError, match="try again"):
        checks.verify(good)


def test_an_unknown_key_is_told_from_an_issuer_that_is_away(issuer: Slow) -> None:
    clock = Clock()
    checks = verifier(issuer)
    checks.keys = IssuerKeys(ISSUER, issuer.url, clock=clock)
    checks.verify(f"Bearer {issuer.token()}")
    issuer.close()
    clock.now += 40
    with pytest.raises(IdentityUnavailableError):
        checks.verify(forged(issuer, "rotated"))


def test_what_is_remembered_as_unknown_is_bounded(issuer: Slow) -> None:
    clock = Clock()
    keys = IssuerKeys(ISSUER, issuer.url, cooldown=1, clock=clock)
    keys.refresh()
    for number in range(UNKNOWN_KEYS + 50):
        with pytest.raises(UnknownKeyError):
            keys.read(f"u{number}")
    assert len(keys._unknown) == UNKNOWN_KEYS
    clock.now += 2
    with pytest.raises(UnknownKeyError):
        keys.known(f"u{UNKNOWN_KEYS + 49}")
    assert len(issuer.asked) == 1


def test_without_keys_callers_are_told_to_try_again_and_health_answers() -> None:
    app = service().app
    away = TokenVerifier(issuer="http://127.0.0.1:9", audience=AUDIENCE)
    issuer = Issuer()
    issuer.close()
    from fastapi import FastAPI

    from fmops.assistant.admission import Admission

    guarded = FastAPI()
    guarded.add_middleware(Admission, admit=away.admit)
    guarded.mount("/", app)
    client = TestClient(guarded)
    response = client.get("/v1/models", headers={"authorization": f"Bearer {issuer.token()}"})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "identity_unavailable"
    assert client.get("/healthz").status_code == 200


def test_for_how_long_keys_are_away_is_told_until_they_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    keys = IssuerKeys("https://login.example.com", "http://127.0.0.1:1/keys", clock=lambda: now)
    assert keys.stale() == 0
    keys.refresh()
    now = 700.0
    assert keys.stale() == 700
    monkeypatch.setattr(keys, "_fetch", lambda: {"k": "key"})
    keys.refresh()
    assert keys.stale() == 0
    now = 9_000.0
    assert keys.stale() == 0


def test_without_a_thread_to_read_in_keys_are_unavailable_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    keys = IssuerKeys("https://login.example.com", "http://127.0.0.1:1/keys")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(KeysUnavailableError):
            keys.known("k")
        assert keys.reading().done()
