"""Public documents of a user pool: its keys, and its endpoints if it has a domain."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params, operation
from local.aws.kernel.cloud import Cloud
from local.aws.services.cognito.pools import SERVICE, backend

SIGN_IN = "_signin"
"""First part of the paths that stand for the host names of domains."""


def pages(cloud: Cloud, domain: str) -> str:
    """Return the address of a domain's pages, which in AWS are on a host of their own."""
    return f"{cloud.endpoint}/{SIGN_IN}/{domain}"


@operation(SERVICE, "GetOpenIdConfiguration")
def openid_configuration(params: Params, context: Context) -> Params:
    """Return the discovery document, which names no sign-in endpoints unless the pool has a domain.

    It does not name code challenge methods, as Cognito's does not.
    """
    pool = backend(context).describe_user_pool(params["UserPoolId"])
    document = {
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": f"https://cognito-idp.{pool.region}.amazonaws.com/{pool.id}",
        "jwks_uri": f"{context.cloud.endpoint}/{pool.id}/.well-known/jwks.json",
        "response_types_supported": ["code", "token"],
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
    }
    if pool.domain is None:
        return document
    base = pages(context.cloud, pool.domain.domain)
    return {
        **document,
        "authorization_endpoint": f"{base}/oauth2/authorize",
        "end_session_endpoint": f"{base}/logout",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "token_endpoint": f"{base}/oauth2/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": f"{base}/oauth2/userInfo",
    }
