"""A policy store of the local AWS with the project's schema and policies, made without a deployment."""

from __future__ import annotations

from pathlib import Path

from local.aws.kernel.cloud import Cloud

POLICIES = Path(__file__).parents[1] / "policies"


def make(cloud: Cloud, prefix: str, scope: str) -> str:
    """Create a strict policy store and return its id. ``prefix`` is what the ids of groups begin with, ``scope`` the
    last part of the policies' names."""
    permissions = cloud.client("verifiedpermissions")
    store: str = permissions.create_policy_store(validationSettings={"mode": "STRICT"})["policyStoreId"]
    permissions.put_schema(
        policyStoreId=store, definition={"cedarJson": (POLICIES / "schema.json").read_text()}
    )
    for path in sorted(POLICIES.glob("*.cedar")):
        statement = path.read_text().replace('Group::"', f'Group::"{prefix}|')
        permissions.create_policy(
            policyStoreId=store,
            definition={"static": {"statement": statement}},
            name=f"name/{path.stem}/{scope}",
        )
    return store
