"""Who is asking: the verified claims of an OpenID Connect ID token, and nothing that a request body says."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import urllib.request
from dataclasses import dataclass
from typing import Any

import jwt

from fmops.assistant.border import mended

_log = logging.getLogger(__name__)

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

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str = "",
        group_claim: str = "cognito:groups",
        key_cooldown: float = 30,
    ) -> None:
        """Without a ``jwks_url`` the issuer's discovery document says where its keys are, and how the issuer is written."""
        self._keys = _IssuerKeys(issuer, jwks_url, key_cooldown)
        self._audience = audience
        self._group_claim = group_claim

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
                issuer=self._keys.issuer,
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
        except (jwt.PyJWTError, UnicodeError) as error:
            raise AuthenticationError("The token is not valid: sign in again.") from error
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


class _IssuerKeys(jwt.PyJWKClient):
    """An issuer's published keys, found when they are first needed."""

    def __init__(self, issuer: str, jwks_url: str, cooldown: float) -> None:
        self.issuer = issuer
        self._discovery_url = discovery_url(issuer)
        where = jwks_url or self._discovery_url
        super().__init__(where, lifespan=300, timeout=5, cooldown_duration=cooldown)

    def fetch_data(self) -> Any:
        if self.uri == self._discovery_url:
            self.uri = self._discover()
        return super().fetch_data()

    def _discover(self) -> str:
        try:
            with urllib.request.urlopen(self._discovery_url, timeout=self.timeout) as answer:  # noqa: S310 - the issuer's, from settings
                document = json.load(answer)
                keys, written = str(document["jwks_uri"]), str(document["issuer"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise jwt.PyJWKClientConnectionError("the issuer's discovery document cannot be read") from error
        if written.removesuffix("/") != self.issuer.removesuffix("/"):
            # Whoever answers there for another issuer vouches for none of this one's tokens.
            _log.error("the discovery document of the issuer in identity.oidc names another issuer")
            raise jwt.PyJWKClientConnectionError("the discovery document names another issuer")
        if not keys.startswith(("https://", "http://")):
            raise jwt.PyJWKClientConnectionError("the discovery document's jwks_uri is no URL")
        if written != self.issuer:
            _log.warning(
                "identity.oidc.issuer differs from its discovery document by the slash at its end: write it as it stands"
                " there, since Verified Permissions compares it to the letter"
            )
        self.issuer = written
        return keys


def discovery_url(issuer: str) -> str:
    """Where an issuer's metadata is, which one slash at the issuer's end does not change (OpenID Connect Discovery 1.0, 4.1)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def _groups(claim: Any) -> frozenset[str]:
    return frozenset(str(group) for group in claim) if isinstance(claim, list) else frozenset()


def _second_factor(claims: dict[str, Any]) -> bool:
    """By the claim that the user pool's trigger adds, or by RFC 8176's ``amr``."""
    methods = claims.get("amr")
    return str(claims.get("mfa", "false")).lower() == "true" or (
        isinstance(methods, list) and "mfa" in methods
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
