"""Tokens as moto makes them, with the claims of the sign-in and of the pre-token-generation trigger."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from local.aws.kernel.api import Params, ServiceError
from local.aws.kernel.cloud import Cloud, install_routes
from local.aws.services.cognito.pools import validity
from local.aws.services.lambda_ import Functions

SCOPES = ("aws.cognito.signin.user.admin",)
"""Scopes of a sign-in by the API."""


@dataclass
class Issue:
    """One issue of tokens: why, and what is in them besides the user's attributes."""

    source: str
    auth_time: int | None = None
    scopes: tuple[str, ...] = SCOPES
    nonce: str = ""
    overrides: dict[str, Params] = field(default_factory=dict)
    """The trigger's answer, by the sign-in's id: one invocation serves both the access token and the ID
    token."""
    access_token: str = ""


_ISSUE: ContextVar[Issue | None] = ContextVar("issue", default=None)


@contextlib.contextmanager
def issuing(issue: Issue) -> Iterator[None]:
    """Make tokens with the claims of this issue."""
    token = _ISSUE.set(issue)
    try:
        yield
    finally:
        _ISSUE.reset(token)


@install_routes
def _install_trigger(cloud: Cloud) -> None:
    """Make moto's pools of this cloud call their pre-token-generation function whenever they make tokens."""
    from moto.cognitoidp.models import CognitoIdpUserPool

    original = getattr(CognitoIdpUserPool.create_jwt, "without_trigger", CognitoIdpUserPool.create_jwt)
    overrides: dict[str, Params] = {}

    def create_jwt(
        pool: Any,
        client_id: str,
        username: str,
        token_use: str,
        expires_in: int | None = None,
        extra_data: Params | None = None,
    ) -> tuple[str, int]:
        claims = dict(extra_data or {})
        issue = _ISSUE.get() or Issue("TokenGeneration_Authentication", overrides=overrides)
        _add_claims(claims, issue, token_use)
        function, version = _trigger(pool)
        if function:
            key = claims["origin_jti"]
            details = issue.overrides.pop(key, None)
            if details is None:
                details = issue.overrides[key] = _invoke_trigger(
                    cloud, pool, function, version, client_id, username, issue
                )
            _override(claims, details, token_use, version)
        seconds = 60 * 60 if expires_in is None else expires_in
        if expires_in is None and client_id in pool.clients:
            kind = "AccessToken" if token_use == "access" else "IdToken"
            seconds = validity(pool.clients[client_id], kind)
        signed: tuple[str, int] = original(pool, client_id, username, token_use, seconds, claims)
        if token_use == "access":
            issue.access_token = signed[0]
        return signed

    create_jwt.without_trigger = original  # type: ignore[attr-defined]
    setattr(CognitoIdpUserPool, "create_jwt", create_jwt)  # noqa: B010 - typed code forbids the assignment


def _add_claims(claims: Params, issue: Issue, token_use: str) -> None:
    if issue.auth_time is not None:
        claims["auth_time"] = issue.auth_time
    if token_use == "access":
        claims["scope"] = " ".join(issue.scopes)
        return
    if issue.nonce:
        claims["nonce"] = issue.nonce
    if issue.scopes != SCOPES and issue.access_token:
        half = hashlib.sha256(issue.access_token.encode()).digest()[:16]
        claims["at_hash"] = base64.urlsafe_b64encode(half).rstrip(b"=").decode()


def _trigger(pool: Any) -> tuple[str | None, str]:
    config = pool.extended_config.get("LambdaConfig") or {}
    versioned = config.get("PreTokenGenerationConfig")
    if versioned:
        return versioned["LambdaArn"], versioned["LambdaVersion"]
    return config.get("PreTokenGeneration"), "V1_0"


def _invoke_trigger(
    cloud: Cloud, pool: Any, function: str, version: str, client_id: str, username: str, issue: Issue
) -> Params:
    user = pool._get_user(username)
    attributes = {each["Name"]: each["Value"] for each in user.attributes}
    event = {
        "version": version[1],
        "triggerSource": issue.source,
        "region": pool.region,
        "userPoolId": pool.id,
        "userName": username,
        "callerContext": {"awsSdkVersion": "local", "clientId": client_id},
        "request": {
            "userAttributes": {**attributes, "sub": user.id, "cognito:user_status": str(user.status)},
            "groupConfiguration": {
                "groupsToOverride": [group.group_name for group in user.groups],
                "iamRolesToOverride": [],
                "preferredRole": None,
            },
            "scopes": list(issue.scopes),
        },
        "response": {},
    }
    result, failed = cloud.state(Functions).function(function).invoke(event)
    if failed:
        raise ServiceError(
            "UserLambdaValidationException", f"PreTokenGeneration failed with error {result['errorMessage']}."
        )
    response = (result or {}).get("response") or {}
    return dict(response.get("claimsAndScopeOverrideDetails") or response.get("claimsOverrideDetails") or {})


def _override(claims: Params, details: Params, token_use: str, version: str) -> None:
    """Apply the function's answer: V1 changes the ID token, V2 and later each token by its own part."""
    if version == "V1_0":
        generation = details if token_use == "id" else {}
    else:
        generation = details.get("idTokenGeneration" if token_use == "id" else "accessTokenGeneration") or {}
    for name in generation.get("claimsToSuppress") or []:
        claims.pop(name, None)
    claims.update(generation.get("claimsToAddOrOverride") or {})
    groups = details.get("groupOverrideDetails") or {}
    if groups.get("groupsToOverride") is not None:
        claims["cognito:groups"] = groups["groupsToOverride"]
    if token_use == "access":
        scopes = [
            scope
            for scope in claims.get("scope", "").split()
            if scope not in (generation.get("scopesToSuppress") or [])
        ]
        claims["scope"] = " ".join([*scopes, *(generation.get("scopesToAdd") or [])])
