"""Who is asking: the verified claims of an OpenID Connect ID token, and nothing that a request body says."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import jwt

CLOCK_SKEW = 60
"""Seconds that the issuer's clock and ours may differ."""


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
    """Seconds since the epoch; a refreshed token keeps the time of its sign-in. 0 when the token does not say."""


class TokenVerifier:
    """Checks signature, issuer, audience, expiry and use of an ID token against the issuer's published keys.

    Keys are cached for five minutes. A rotation needs no restart: an unknown key id is looked up, at most once in
    ``key_cooldown`` seconds, so that forged ids cannot make us flood the issuer.
    """

    def __init__(self, *, jwks_url: str, issuer: str, audience: str, key_cooldown: float = 30) -> None:
        self._keys = jwt.PyJWKClient(jwks_url, lifespan=300, timeout=5, cooldown_duration=key_cooldown)
        self._issuer = issuer
        self._audience = audience

    def verify(self, authorization: str | None) -> Principal:
        """The principal of an ``Authorization`` header. Raises ``AuthenticationError``."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError(
                "No token: sign in and send the ID token as `Authorization: Bearer <token>`."
            )
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=CLOCK_SKEW,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise AuthenticationError("The token has expired: sign in again.") from error
        except jwt.InvalidIssuerError as error:
            raise AuthenticationError(
                "The token is of another issuer: sign in to this deployment."
            ) from error
        except jwt.InvalidAudienceError as error:
            raise AuthenticationError(
                "The token was issued to another application: sign in to this one."
            ) from error
        except jwt.PyJWKClientConnectionError as error:
            raise AuthenticationError("The issuer's keys cannot be read at the moment: try again.") from error
        except jwt.PyJWTError as error:
            raise AuthenticationError("The token is not valid: sign in again.") from error
        if claims.get("token_use", "id") != "id":
            raise AuthenticationError("This is an access token: send the ID token.")
        return Principal(
            subject=claims["sub"],
            username=str(claims.get("cognito:username", claims["sub"])),
            groups=frozenset(claims.get("cognito:groups", ())),
            mfa=str(claims.get("mfa", "false")).lower() == "true",
            token=token,
            claims=claims,
            signed_in_at=_seconds(claims.get("auth_time")),
        )


def _seconds(claim: Any) -> int:
    return int(claim) if isinstance(claim, int | float) and not isinstance(claim, bool) else 0


class Pseudonyms:
    """Keyed hashes that stand for users and sessions wherever interactions are stored or traced."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def user(self, subject: str) -> str:
        return self._hash("user", subject)

    def session(self, subject: str, session: str) -> str:
        """A session belongs to its user: the same session id of two users is two sessions."""
        return self._hash("session", f"{subject}\0{session}")

    def _hash(self, kind: str, value: str) -> str:
        digest = hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256)
        return digest.hexdigest()[:32]
