"""Clients, domains and brandings of managed login, with the checks of Cognito's API."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from local.aws.kernel.api import FALL_THROUGH, Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.services.cognito.pools import SERVICE, backend

RESERVED = ("aws", "amazon", "cognito")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MANAGED_LOGIN = 2
"""Version of a domain's pages that need a branding for each client."""


@dataclass
class Branding:
    """The style of a client's sign-in pages."""

    id: str
    pool_id: str
    client_id: str
    settings: Params
    created: datetime

    def wire(self) -> Params:
        return {
            "ManagedLoginBrandingId": self.id,
            "UserPoolId": self.pool_id,
            "CreationDate": self.created,
            "LastModifiedDate": self.created,
            **self.settings,
        }


class ManagedLogins(ServiceState):
    """Brandings by their ids, and the versions of domains' pages."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.brandings: dict[str, Branding] = {}
        self.versions: dict[str, int] = {}

    def has_pages(self, domain: str, pool_id: str, client_id: str) -> bool:
        """Return whether the client has a sign-in page at the domain."""
        return self.versions.get(domain) != MANAGED_LOGIN or self.of_client(pool_id, client_id) is not None

    def of_client(self, pool_id: str, client_id: str) -> Branding | None:
        wanted = (pool_id, client_id)
        return next(
            (each for each in self.brandings.values() if (each.pool_id, each.client_id) == wanted), None
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


@operation(SERVICE, "CreateUserPoolClient")
def create_user_pool_client(params: Params, context: Context) -> Any:  # noqa: ARG001 - moto makes the client
    _check_client(params)
    return FALL_THROUGH


@operation(SERVICE, "UpdateUserPoolClient")
def update_user_pool_client(params: Params, context: Context) -> Any:
    """Update a client; as in Cognito, what the call leaves out returns to its default."""
    from moto.cognitoidp.models import CognitoIdpUserPoolClient

    _check_client(params)
    client = backend(context).describe_user_pool_client(params["UserPoolId"], params["ClientId"])
    kept = {"ClientName": client.extended_config.get("ClientName")}
    client.extended_config = CognitoIdpUserPoolClient(params["UserPoolId"], False, kept).extended_config
    return FALL_THROUGH


def _check_client(params: Params) -> None:
    for url in [*params.get("CallbackURLs", []), *params.get("LogoutURLs", [])]:
        parts = urlsplit(url)
        if parts.fragment or not parts.scheme:
            raise _invalid(f"{url} is not a valid redirect URI.")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise _invalid(f"{url} cannot use the HTTP protocol.")
    flows = params.get("AllowedOAuthFlows") or []
    if "code" in flows and not params.get("CallbackURLs"):
        raise _invalid("CallbackURLs can not be empty when code or implicit flow is selected")
    if params.get("AllowedOAuthFlowsUserPoolClient") and not (flows and params.get("AllowedOAuthScopes")):
        raise _invalid("AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed")
    rotation = params.get("RefreshTokenRotation") or {}
    if rotation.get("Feature") == "ENABLED":
        if "ALLOW_REFRESH_TOKEN_AUTH" in (params.get("ExplicitAuthFlows") or []):
            raise _invalid("ALLOW_REFRESH_TOKEN_AUTH cannot be used with refresh token rotation")
        if not 0 <= rotation.get("RetryGracePeriodSeconds", 0) <= 60:
            raise _invalid("RetryGracePeriodSeconds must be between 0 and 60")


@operation(SERVICE, "CreateUserPoolDomain")
def create_user_pool_domain(params: Params, context: Context) -> Params:
    found, domain = backend(context), params["Domain"]
    pool = found.describe_user_pool(params["UserPoolId"])
    word = next((word for word in RESERVED if word in domain), None)
    if word:
        raise _invalid(f"Domain cannot contain reserved word: {word}")
    if domain in found.user_pool_domains:
        raise _invalid("Domain already exists.")
    if pool.domain:
        raise _invalid("User pool already has a domain configured.")
    made = found.create_user_pool_domain(pool.id, domain, params.get("CustomDomainConfig"))
    version = context.state(ManagedLogins).versions[domain] = params.get("ManagedLoginVersion", 1)
    return {**made.to_json(extended=False), "ManagedLoginVersion": version}


@operation(SERVICE, "DescribeUserPoolDomain")
def describe_user_pool_domain(params: Params, context: Context) -> Params:
    found = backend(context).describe_user_pool_domain(params["Domain"])
    if found is None:
        return {"DomainDescription": {}}
    described = {name: value for name, value in found.to_json().items() if value is not None}
    version = context.state(ManagedLogins).versions.get(found.domain, 1)
    return {"DomainDescription": {**described, "ManagedLoginVersion": version}}


@operation(SERVICE, "UpdateUserPoolDomain")
def update_user_pool_domain(params: Params, context: Context) -> Any:
    if params.get("ManagedLoginVersion"):
        backend(context).update_user_pool_domain(params["Domain"], params.get("CustomDomainConfig") or {})
        context.state(ManagedLogins).versions[params["Domain"]] = params["ManagedLoginVersion"]
        return {"ManagedLoginVersion": params["ManagedLoginVersion"]}
    return FALL_THROUGH


@operation(SERVICE, "CreateManagedLoginBranding")
def create_managed_login_branding(params: Params, context: Context) -> Params:
    pool_id, client_id = params["UserPoolId"], params["ClientId"]
    backend(context).describe_user_pool_client(pool_id, client_id)
    logins = context.state(ManagedLogins)
    if logins.of_client(pool_id, client_id):
        raise ServiceError(
            "ManagedLoginBrandingExistsException", "Managed login branding already exists for this client."
        )
    branding = Branding(str(uuid.uuid4()), pool_id, client_id, _style(params), datetime.now(UTC))
    logins.brandings[branding.id] = branding
    return {"ManagedLoginBranding": branding.wire()}


@operation(SERVICE, "UpdateManagedLoginBranding")
def update_managed_login_branding(params: Params, context: Context) -> Params:
    branding = _branding(params, context)
    branding.settings = _style(params)
    return {"ManagedLoginBranding": branding.wire()}


@operation(SERVICE, "DescribeManagedLoginBranding")
def describe_managed_login_branding(params: Params, context: Context) -> Params:
    return {"ManagedLoginBranding": _branding(params, context).wire()}


@operation(SERVICE, "DescribeManagedLoginBrandingByClient")
def describe_managed_login_branding_by_client(params: Params, context: Context) -> Params:
    found = context.state(ManagedLogins).of_client(params["UserPoolId"], params["ClientId"])
    if found is None:
        raise ServiceError("ResourceNotFoundException", "Managed login branding does not exist.")
    return {"ManagedLoginBranding": found.wire()}


@operation(SERVICE, "DeleteManagedLoginBranding")
def delete_managed_login_branding(params: Params, context: Context) -> Params:
    branding = _branding(params, context)
    del context.state(ManagedLogins).brandings[branding.id]
    return {}


def _branding(params: Params, context: Context) -> Branding:
    found = context.state(ManagedLogins).brandings.get(params.get("ManagedLoginBrandingId", ""))
    if found is None or found.pool_id != params.get("UserPoolId"):
        raise ServiceError("ResourceNotFoundException", "Managed login branding does not exist.")
    return found


def _style(params: Params) -> Params:
    """Return the style: Cognito's own, or settings and assets, but not both."""
    provided = bool(params.get("UseCognitoProvidedValues"))
    if provided and (params.get("Settings") or params.get("Assets")):
        raise _invalid("UseCognitoProvidedValues cannot be used with Settings or Assets")
    own = {name: params[name] for name in ("Settings", "Assets") if params.get(name)}
    return {"UseCognitoProvidedValues": provided, **own}
