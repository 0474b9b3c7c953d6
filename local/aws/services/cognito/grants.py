"""Sign-ins and their refresh tokens: how long they are good for, rotation, and revocation."""

from __future__ import annotations

import hmac
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud, install_routes
from local.aws.services.cognito.pools import SERVICE, backend, pool_of_client, validity
from local.aws.services.cognito.triggers import SCOPES, Issue, issuing

REFRESH = "TokenGeneration_RefreshTokens"
HOSTED = "TokenGeneration_HostedAuth"
API_SCOPE = SCOPES[0]
"""Scope of access tokens that Cognito's own API accepts."""


@dataclass
class Grant:
    """One sign-in of a user at a client, to which all tokens of its rotation belong."""

    client_id: str
    username: str
    origin_jti: str
    auth_time: int
    expires: float
    scopes: tuple[str, ...] = SCOPES
    revoked: bool = False


@dataclass
class RefreshToken:
    """A refresh token, and when it was first exchanged for another."""

    text: str
    grant: Grant
    rotated_at: float | None = None


class Grants(ServiceState):
    """The sign-ins of all pools."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.clock: Callable[[], float] = time.time
        self._tokens: dict[str, RefreshToken] = {}
        self._by_id: dict[str, Grant] = {}
        self.access_tokens: dict[str, Grant] = {}
        self._lock = threading.RLock()

    def begin(self, pool: Any, client_id: str, username: str, token: str, origin_jti: str) -> Grant:
        """Record the sign-in to which a new refresh token of moto's belongs."""
        now = self.clock()
        expires = now + validity(pool.clients[client_id], "RefreshToken")
        grant = Grant(client_id, username, origin_jti, int(now), expires)
        with self._lock:
            self._tokens[token], self._by_id[origin_jti] = RefreshToken(token, grant), grant
        return grant

    def sign_in(
        self,
        pool: Any,
        client_id: str,
        username: str,
        *,
        auth_time: int,
        scopes: tuple[str, ...],
        nonce: str,
    ) -> Params:
        """Sign a user in at the managed login and return the tokens."""
        token, origin_jti = pool.create_refresh_token(client_id, username)
        with self._lock:
            grant = self._by_id[origin_jti]
            grant.auth_time, grant.scopes = auth_time, scopes
        return {**self._issued(pool, grant, self.issue(grant, HOSTED, nonce=nonce)), "RefreshToken": token}

    def refresh(self, pool: Any, client_id: str, text: str) -> Params:
        """Exchange a refresh token, for another one too if the client rotates them. Raises ``ServiceError``."""
        rotation = pool.clients[client_id].extended_config.get("RefreshTokenRotation") or {}
        with self._lock:
            token = self.valid(pool, client_id, text)
            grant = token.grant
            rotates = rotation.get("Feature") == "ENABLED"
            if rotates and token.rotated_at is None:
                token.rotated_at = self.clock()
        tokens = self._issued(pool, grant, self.issue(grant))
        if not rotates:
            return tokens
        following = str(uuid.uuid4())
        with self._lock:
            self._tokens[following] = RefreshToken(following, grant)
            pool.refresh_tokens[following] = (client_id, grant.username, grant.origin_jti)
        return {**tokens, "RefreshToken": following}

    def valid(self, pool: Any, client_id: str, text: str) -> RefreshToken:
        """Return the refresh token if it may be exchanged. Raises ``ServiceError``."""
        config = pool.clients[client_id].extended_config.get("RefreshTokenRotation") or {}
        now = self.clock()
        with self._lock:
            token = self._tokens.get(text)
            if token is None or token.grant.client_id != client_id:
                raise ServiceError("NotAuthorizedException", "Invalid Refresh Token")
            grace = int(config.get("RetryGracePeriodSeconds") or 0)
            if token.rotated_at is not None and now - token.rotated_at >= grace:
                raise ServiceError("RefreshTokenReuseException", "Refresh Token has been rotated")
            if token.grant.revoked or pool.refresh_tokens.get(text) is None:
                raise ServiceError("NotAuthorizedException", "Refresh Token has been revoked")
            if now >= token.grant.expires:
                raise ServiceError("NotAuthorizedException", "Refresh Token has expired")
            user = pool._get_user(token.grant.username)
            if user is None or not user.enabled:
                raise ServiceError("NotAuthorizedException", "User is disabled.")
            return token

    def revoke(self, pool: Any, client_id: str, text: str) -> None:
        """End the sign-in of a refresh token and all its tokens; an unknown one is revoked already.

        Raises ``ServiceError`` for a token of another kind or another client.
        """
        with self._lock:
            token = self._tokens.get(text)
            if token is None and text.count(".") == 2:
                raise ServiceError(
                    "UnsupportedTokenTypeException", "Only refresh tokens can be revoked, with their tokens"
                )
            if token is None:
                return
            if token.grant.client_id != client_id:
                raise ServiceError("UnauthorizedException", "The token was issued to another client")
            token.grant.revoked = True
            for access in [access for access, grant in self.access_tokens.items() if grant is token.grant]:
                pool.access_tokens.pop(access, None)
                del self.access_tokens[access]

    def issue(self, grant: Grant, source: str = REFRESH, *, nonce: str = "") -> Issue:
        """Return an issue of tokens that keeps the time of the sign-in."""
        return Issue(source, grant.auth_time, grant.scopes, nonce)

    def _issued(self, pool: Any, grant: Grant, issue: Issue) -> Params:
        with issuing(issue):
            access, seconds = pool.create_access_token(grant.client_id, grant.username, grant.origin_jti)
            tokens: Params = {"AccessToken": access, "ExpiresIn": seconds, "TokenType": "Bearer"}
            if API_SCOPE in grant.scopes or "openid" in grant.scopes:
                tokens["IdToken"] = pool.create_id_token(grant.client_id, grant.username, grant.origin_jti)[0]
        if API_SCOPE not in grant.scopes:
            pool.access_tokens.pop(access, None)
        with self._lock:
            self.access_tokens[access] = grant
        return tokens


def check_secret(client: Any, given: str | None) -> None:
    """Raise ``ServiceError`` unless a client that has a secret gave it."""
    if client.generate_secret and not hmac.compare_digest(client.secret, given or ""):
        raise ServiceError("NotAuthorizedException", "Client secret does not match")


@operation(SERVICE, "GetTokensFromRefreshToken")
def get_tokens_from_refresh_token(params: Params, context: Context) -> Params:
    pool = pool_of_client(backend(context), params["ClientId"])
    check_secret(pool.clients[params["ClientId"]], params.get("ClientSecret"))
    tokens = context.state(Grants).refresh(pool, params["ClientId"], params["RefreshToken"])
    return {"AuthenticationResult": tokens}


@operation(SERVICE, "RevokeToken")
def revoke_token(params: Params, context: Context) -> Params:
    pool = pool_of_client(backend(context), params["ClientId"])
    client = pool.clients[params["ClientId"]]
    check_secret(client, params.get("ClientSecret"))
    if not client.extended_config.get("EnableTokenRevocation", True):
        raise ServiceError("UnsupportedOperationException", "Token revocation is not enabled for this client")
    context.state(Grants).revoke(pool, params["ClientId"], params["Token"])
    return {}


@install_routes
def _record_sign_ins(cloud: Cloud) -> None:
    """Record every refresh token that moto makes for this cloud."""
    from moto.cognitoidp.models import CognitoIdpUserPool

    unpatched = CognitoIdpUserPool.create_refresh_token
    original = getattr(unpatched, "without_record", unpatched)

    def create_refresh_token(pool: Any, client_id: str, username: str) -> tuple[str, str]:
        token, origin_jti = original(pool, client_id, username)
        cloud.state(Grants).begin(pool, client_id, username, token, origin_jti)
        return token, origin_jti

    create_refresh_token.without_record = original  # type: ignore[attr-defined]
    setattr(CognitoIdpUserPool, "create_refresh_token", create_refresh_token)  # noqa: B010 - as for the trigger
