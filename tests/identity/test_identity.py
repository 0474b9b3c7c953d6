"""Only a current ID token of this issuer for this application is accepted, with keys read over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from fmops.identity.tokens import AuthenticationError, Pseudonyms, TokenVerifier

ISSUER, AUDIENCE = "https://issuer.example", "client"


class Issuer:
    """Publishes its public keys and signs tokens."""

    def __init__(self, path: str = "", *, written: str | None = None) -> None:
        """``path`` is appended to its address; ``written`` is the discovery document's name for it, if
        different.
        """
        self.asked: list[str] = []
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("k1")
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys = [
                    {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid}
                    for kid, key in issuer.keys.items()
                ]
                issuer.asked.append(self.path)
                discovery = {"issuer": written or issuer.base, "jwks_uri": issuer.url}
                found = discovery if self.path.endswith("/openid-configuration") else {"keys": keys}
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self._server.server_port}{path}"
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def rotate(self, kid: str) -> None:
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    def token(self, *, key: rsa.RSAPrivateKey | None = None, algorithm: str = "RS256", **claims: Any) -> str:
        kid, own = next(iter(self.keys.items()))
        now = int(time.time())
        body = {
            "sub": "s-1",
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            "token_use": "id",
        } | claims
        return jwt.encode(
            {k: v for k, v in body.items() if v is not None}, key or own, algorithm, headers={"kid": kid}
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def verifier(issuer: Issuer) -> TokenVerifier:
    return TokenVerifier(jwks_url=issuer.url, issuer=ISSUER, audience=AUDIENCE)


def test_a_good_token_says_who_asks(issuer: Issuer, verifier: TokenVerifier) -> None:
    claims = {"cognito:groups": ["staff"], "cognito:username": "amir", "mfa": "true"}
    principal = verifier.verify(f"Bearer {issuer.token(**claims)}")
    assert (principal.subject, principal.username, principal.groups, principal.mfa) == (
        "s-1",
        "amir",
        {"staff"},
        True,
    )


def test_without_a_claim_there_is_no_second_factor(issuer: Issuer, verifier: TokenVerifier) -> None:
    assert not verifier.verify(f"Bearer {issuer.token()}").mfa


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 1, "iat": 0}, "expired"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"aud": "other"}, "another application"),
        ({"token_use": "access"}, "access token"),
        ({"sub": None}, "not valid"),
    ],
)
def test_other_tokens_are_refused_with_the_remedy(
    issuer: Issuer, verifier: TokenVerifier, claims: dict[str, Any], message: str
) -> None:
    with pytest.raises(AuthenticationError, match=message):
        verifier.verify(f"Bearer {issuer.token(**claims)}")


def test_a_signature_of_another_key_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    with pytest.raises(AuthenticationError, match="not valid"):
        verifier.verify(f"Bearer {issuer.token(key=stranger)}")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer not.a.token"])
def test_what_is_no_token_is_refused(verifier: TokenVerifier, header: str | None) -> None:
    with pytest.raises(AuthenticationError):
        verifier.verify(header)


def test_an_unsigned_token_is_refused(verifier: TokenVerifier) -> None:
    now = int(time.time())
    unsigned = jwt.encode(
        {"sub": "s", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60},
        None,
        "none",
        headers={"kid": "k1"},
    )
    with pytest.raises(AuthenticationError, match="not valid"):
        verifier.verify(f"Bearer {unsigned}")


def test_a_rotated_key_is_found_without_a_restart(issuer: Issuer) -> None:
    verifier = TokenVerifier(jwks_url=issuer.url, issuer=ISSUER, audience=AUDIENCE, key_cooldown=0)
    verifier.verify(f"Bearer {issuer.token()}")
    issuer.rotate("k2")
    assert verifier.verify(f"Bearer {issuer.token()}").subject == "s-1"


def test_an_issuer_that_is_away_refuses_with_a_reason(verifier: TokenVerifier, issuer: Issuer) -> None:
    token = issuer.token()
    issuer.close()
    with pytest.raises(AuthenticationError, match="try again"):
        verifier.verify(f"Bearer {token}")


def test_pseudonyms_are_stable_keyed_and_apart() -> None:
    one, other = Pseudonyms("key-one-key-one-1"), Pseudonyms("key-two-key-two-2")
    assert one.user("s") == one.user("s") != other.user("s")
    assert one.session("alice", "1") != one.session("bob", "1")
    assert one.user("s") != "s"


def test_another_issuers_keys_are_discovered_and_its_claims_are_read(issuer: Issuer) -> None:
    verifier = TokenVerifier(issuer=issuer.base, audience=AUDIENCE, group_claim="roles")
    claims = {"roles": ["adjusters"], "preferred_username": "ada", "amr": ["pwd", "mfa"]}
    principal = verifier.verify(f"Bearer {issuer.token(iss=issuer.base, **claims)}")
    assert (principal.username, principal.groups, principal.mfa) == ("ada", {"adjusters"}, True)
    plain = verifier.verify(f"Bearer {issuer.token(iss=issuer.base, roles='adjusters')}")
    assert (plain.groups, plain.mfa) == (frozenset(), False)


def test_an_issuer_whose_discovery_fails_refuses_with_a_reason() -> None:
    verifier = TokenVerifier(issuer="http://127.0.0.1:9", audience=AUDIENCE)
    with pytest.raises(AuthenticationError, match="keys cannot be read"):
        verifier.verify(f"Bearer {Issuer().token()}")


@pytest.mark.parametrize(
    "path", ["/", "", "/acme", "/acme/", "/00000000-aaaa-bbbb-cccc-000000000000/v2.0", "/realms/desk/"]
)
def test_an_issuer_is_compared_as_it_stands_in_its_discovery_document(path: str) -> None:
    issuer = Issuer(path)
    try:
        verifier = TokenVerifier(issuer=issuer.base, audience=AUDIENCE)
        assert verifier.verify(f"Bearer {issuer.token(iss=issuer.base)}").subject == "s-1"
        assert issuer.asked[0] == f"{path.removesuffix('/')}/.well-known/openid-configuration"
        other = issuer.base.removesuffix("/") if issuer.base.endswith("/") else f"{issuer.base}/"
        with pytest.raises(AuthenticationError, match="another issuer"):
            verifier.verify(f"Bearer {issuer.token(iss=other)}")
    finally:
        issuer.close()


def test_a_slash_too_few_in_the_settings_is_warned_of_and_the_document_decides(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer("/tenant/")
    try:
        verifier = TokenVerifier(issuer=issuer.base.removesuffix("/"), audience=AUDIENCE)
        assert verifier.verify(f"Bearer {issuer.token(iss=issuer.base)}").subject == "s-1"
        assert "by the slash at its end" in caplog.text
        with pytest.raises(AuthenticationError, match="another issuer"):
            verifier.verify(f"Bearer {issuer.token(iss=issuer.base.removesuffix('/'))}")
    finally:
        issuer.close()


@pytest.mark.parametrize("written", ["https://login.example/{tenantid}/v2.0", "https://evil.example", "/"])
def test_a_discovery_document_of_another_issuer_vouches_for_nobody(written: str) -> None:
    issuer = Issuer(written=written)
    try:
        verifier = TokenVerifier(issuer=issuer.base, audience=AUDIENCE)
        for claimed in (written, issuer.base):
            with pytest.raises(AuthenticationError, match="keys cannot be read"):
                verifier.verify(f"Bearer {issuer.token(iss=claimed)}")
    finally:
        issuer.close()


def test_halves_of_surrogate_pairs_in_a_token_are_mended_or_refused(
    issuer: Issuer, verifier: TokenVerifier
) -> None:
    claims = {"cognito:username": "amir \ud83d", "cognito:groups": ["staff\udc00"]}
    principal = verifier.verify(f"Bearer {issuer.token(**claims)}")
    assert principal.username == "amir \ufffd"
    assert principal.groups == {"staff\ufffd"}
    body = {"sub": "s", "iss": ISSUER, "aud": AUDIENCE}
    unknown = jwt.encode(body, issuer.keys["k1"], "RS256", headers={"kid": "\ud83d"})
    with pytest.raises(AuthenticationError):
        verifier.verify(f"Bearer {unknown}")
