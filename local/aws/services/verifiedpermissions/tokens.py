"""Verify a user's token as Verified Permissions does for an identity source: signature, issuer, audience, expiry,
kind."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import jwt

from local.aws.kernel.api import validation_error


@dataclass
class IdentitySource:
    """An identity source as CreateIdentitySource described it, for a Cognito user pool or any OpenID Connect issuer."""

    identity_source_id: str
    issuer: str
    keys_url: str  # where the signing keys are; empty: by the issuer's discovery document
    entity_prefix: str
    client_ids: list[str]
    principal_type: str
    group_claim: str
    group_type: str | None
    principal_claim: str = "sub"
    is_cognito: bool = True
    accepts: tuple[str, ...] = ("id", "access")
    _keys: jwt.PyJWKClient | None = field(default=None, repr=False)

    def verify(self, token: str, token_use: str) -> dict[str, Any]:
        """The claims, or ValidationException. `token_use` is what the request says it passes: "id" or "access"."""
        if token_use not in self.accepts:
            raise validation_error(f"The identity source takes {self.accepts[0]} tokens only")
        try:
            key = self._signing_keys().get_signing_key_from_jwt(token).key
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                issuer=self.issuer,
                options={"require": ["exp", "iat", "iss", self.principal_claim], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise validation_error("Token is expired") from error
        except jwt.InvalidIssuerError as error:
            raise validation_error(
                "The token's issuer is not an identity source of the policy store"
            ) from error
        except (jwt.PyJWTError, OSError) as error:
            raise validation_error(f"Invalid token: {error}") from error
        self._check_kind(claims, token_use)
        return claims

    def _check_kind(self, claims: dict[str, Any], token_use: str) -> None:
        if self.is_cognito and claims.get("token_use") != token_use:
            raise validation_error(
                f"The token's token_use is {claims.get('token_use')!r}; the request passed it as {token_use!r}"
            )
        audience = claims.get("client_id") if self.is_cognito and token_use == "access" else claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self.client_ids and not set(audiences) & set(self.client_ids):
            raise validation_error("The token's audience is not a client of the identity source")

    def _signing_keys(self) -> jwt.PyJWKClient:
        if self._keys is None:
            url = self.keys_url or _discover(self.issuer)
            self._keys = jwt.PyJWKClient(url, cache_keys=True)
        return self._keys


def _discover(issuer: str) -> str:
    with urllib.request.urlopen(
        f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=5
    ) as response:
        return str(json.load(response)["jwks_uri"])
