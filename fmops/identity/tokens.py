"""The caller's identity: the verified claims of an OpenID Connect ID token, and nothing from the request
body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from jwt.utils import base64url_decode

from fmops.identity.issuer_keys import TIMEOUT, IssuerKeys, KeysUnavailableError, UnknownKeyError
from fmops.surrogates import mended

CLOCK_SKEW = 60
"""Seconds by which the issuer's clock and ours may differ."""


class AuthenticationError(Exception):
    """The token was not accepted; the message is for the caller and names the remedy."""


@dataclass(frozen=True)
class Principal:
    """The holder of a verified ID token."""

    subject: str
    username: str
    groups: frozenset[str]
    mfa: bool
    token: str
    claims: dict[str, Any]
    signed_in_at: int = 0
    """Time of the sign-in in seconds since the epoch, which a refreshed token keeps; 0 when the token does not
    say."""


class IdentityUnavailableError(AuthenticationError):
    """No token can be checked at the moment: the caller should try again, not sign in again."""


UNAVAILABLE = "The issuer's keys cannot be read at the moment: try again."
EXPIRED = "The token has expired: sign in again. If you just did, the clock here or the issuer's is wrong."
INVALID = "The token is not valid: sign in again."


class Verifier(Protocol):
    """A verifier that identifies the holder of a token."""

    def verify(self, authorization: str | None) -> Principal:
        """Return the principal of an ``Authorization`` header. Raises ``AuthenticationError``."""
        ...


class TokenVerifier:
    """Check signature, issuer, audience, expiry and use of an ID token against the issuer's published keys.

    A rotation needs no restart: an unknown key id has the keys read again, at most once in ``key_cooldown``
    seconds, so that forged ids cannot make us flood the issuer. While the issuer is unreachable, the known keys
    stay in use for ``key_max_age`` seconds.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str = "",
        group_claim: str = "cognito:groups",
        key_cooldown: float = 30,
        key_max_age: float = 86_400,
    ) -> None:
        """Set up the verifier. Without a ``jwks_url``, the issuer's discovery document gives the keys' address
        and the issuer's exact text."""
        self.keys = IssuerKeys(issuer, jwks_url, cooldown=key_cooldown, max_age=key_max_age)
        self._audience = audience
        self._group_claim = group_claim

    def verify(self, authorization: str | None) -> Principal:
        """Return the principal of an ``Authorization`` header. Raises ``AuthenticationError``. May wait for the
        issuer."""
        token, key_id = _parts(authorization)
        with _told():
            key = self.keys.known(key_id)
            if key is None:
                wait((self.keys.reading(),), TIMEOUT)
                key = self.keys.read(key_id)
        return self._principal(token, key)

    async def admit(self, authorization: str | None) -> Principal:
        """Verify like ``verify``, but without a waiting thread: a token with a known key passes at once,
        whatever others do."""
        token, key_id = _parts(authorization)
        with _told():
            key = self.keys.known(key_id)
            if key is None:
                await asyncio.wait((asyncio.wrap_future(self.keys.reading()),), timeout=TIMEOUT)
                key = self.keys.read(key_id)
        return self._principal(token, key)

    def _principal(self, token: str, key: Any) -> Principal:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self.keys.issuer,
                leeway=CLOCK_SKEW,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise AuthenticationError(EXPIRED) from error
        except jwt.ImmatureSignatureError as error:
            raise AuthenticationError(
                "The token is dated in the future: the clock here or the issuer's is wrong; sign in again."
            ) from error
        except jwt.InvalidIssuerError as error:
            raise AuthenticationError(
                "The token comes from another issuer: sign in to this deployment."
            ) from error
        except jwt.InvalidAudienceError as error:
            raise AuthenticationError(
                "The token was issued to another application: sign in to this one."
            ) from error
        except (jwt.PyJWTError, UnicodeError, TypeError, ValueError) as error:
            raise AuthenticationError(INVALID) from error
        claims = mended(claims)
        if claims.get("token_use", "id") != "id":
            raise AuthenticationError("This is an access token: send the ID token.")
        return Principal(
            subject=claims["sub"],
            username=str(claims.get("cognito:username") or claims.get("preferred_username") or claims["sub"]),
            groups=_groups(claims.get(self._group_claim)),
            mfa=_second_factor(claims),
            token=token,
            claims=claims,
            signed_in_at=_seconds(claims.get("auth_time")),
        )


def _parts(authorization: str | None) -> tuple[str, str]:
    """Return the token of an ``Authorization`` header, and the id of the key that it claims to be signed
    with.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationError(
            "No token: sign in and send the ID token as `Authorization: Bearer <token>`."
        )
    try:
        # PyJWT's reading of a header reads the whole token, which its verification does again.
        header = json.loads(base64url_decode(token.partition(".")[0]))
    except (UnicodeError, ValueError, RecursionError) as error:
        raise AuthenticationError(INVALID) from error
    key_id = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(key_id, str):
        raise AuthenticationError(INVALID)
    return token, key_id


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UnknownKeyError as error:
        raise AuthenticationError(INVALID) from error
    except KeysUnavailableError as error:
        raise IdentityUnavailableError(UNAVAILABLE) from error


def _groups(claim: Any) -> frozenset[str]:
    return frozenset(str(group) for group in claim) if isinstance(claim, list) else frozenset()


def _second_factor(claims: dict[str, Any]) -> bool:
    """Return whether a second factor was used, by the claim that the user pool's trigger adds, or by RFC 8176's
    ``amr``."""
    methods = claims.get("amr")
    return str(claims.get("mfa", "false")).lower() == "true" or (
        isinstance(methods, list) and "mfa" in methods
    )


def _seconds(claim: Any) -> int:
    return int(claim) if isinstance(claim, int | float) and not isinstance(claim, bool) else 0


class Pseudonyms:
    """Keyed hashes that replace users and sessions wherever interactions are stored or traced."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def user(self, subject: str) -> str:
        return self._hash("user", subject)

    def session(self, subject: str, session: str) -> str:
        """Return a session's pseudonym, which depends on the user: the same session id of two users means two
        sessions."""
        return self._hash("session", f"{subject}\0{session}")

    def team(self, name: str) -> str:
        return self._hash("team", name)

    def _hash(self, kind: str, value: str) -> str:
        digest = hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256)
        return digest.hexdigest()[:32]
