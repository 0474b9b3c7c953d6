"""moto's user pools, and how long their clients' tokens are good for."""

from __future__ import annotations

from typing import Any

from local.aws.kernel.api import Context, ServiceError
from local.aws.kernel.cloud import Cloud

SERVICE = "cognito-idp"
UNIT_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
USUAL = {"AccessToken": ("hours", 1), "IdToken": ("hours", 1), "RefreshToken": ("days", 30)}
"""Unit and number of each validity that a client does not set."""


def backend_of(cloud: Cloud) -> Any:
    from moto.cognitoidp.models import cognitoidp_backends

    return cognitoidp_backends[cloud.account][cloud.region]


def backend(context: Context) -> Any:
    from moto.cognitoidp.models import cognitoidp_backends

    return cognitoidp_backends[context.account][context.region or context.cloud.region]


def pool_of_client(found: Any, client_id: str) -> Any:
    """Return the pool that has the client. Raises ``ServiceError``."""
    pool = next((pool for pool in found.user_pools.values() if client_id in pool.clients), None)
    if pool is None:
        raise ServiceError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")
    return pool


def validity(client: Any, kind: str) -> int:
    """Return for how many seconds the client's tokens of a kind are good."""
    config = client.extended_config
    unit, number = USUAL[kind]
    unit = (config.get("TokenValidityUnits") or {}).get(kind, unit)
    return int(UNIT_SECONDS[unit] * (config.get(f"{kind}Validity") or number))
