"""The addresses of a local run at the app client of its user pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from local.aws.kernel.cloud import Cloud

CALLBACK = "signed-in"
"""Path below the pages to which a sign-in returns, as the Identity stack has it."""
OTHER_NAMES = ("localhost", "127.0.0.1")
"""Names by which people open what runs on this machine."""
READ_ONLY = ("CreationDate", "LastModifiedDate", "ClientSecret")


def allow_sign_in_at(cloud: Cloud, identity: Mapping[str, str], base_url: str) -> None:
    """Let sign-ins return to the pages at the address of this run, as a deployer would: by an update of the app
    client, which keeps everything else.

    Nothing happens if the pool has no sign-in pages, or if there is no pool.
    """
    if "SignInUrl" not in identity:
        return
    cognito = cloud.client("cognito-idp")
    ids = {"UserPoolId": identity["UserPoolId"], "ClientId": identity["UserPoolClientId"]}
    client: dict[str, Any] = cognito.describe_user_pool_client(**ids)["UserPoolClient"]
    bases = [_at(base_url, name) for name in OTHER_NAMES]
    wanted = {
        "CallbackURLs": [f"{base}/{CALLBACK}" for base in bases],
        "LogoutURLs": [f"{base}/" for base in bases],
    }
    added = {name: list(dict.fromkeys([*client.get(name, []), *urls])) for name, urls in wanted.items()}
    if any(added[name] != client.get(name) for name in added):
        kept = {name: value for name, value in client.items() if name not in READ_ONLY}
        cognito.update_user_pool_client(**{**kept, **added})


def _at(base_url: str, name: str) -> str:
    """Return the address with another name of this machine."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(netloc=f"{name}:{parts.port}")).rstrip("/")
