"""Verified Permissions' identity sources: whose tokens a policy store accepts."""

from __future__ import annotations

from datetime import UTC, datetime

from local.aws.kernel.api import Context, Params, validation_error
from local.aws.services.verifiedpermissions.limits import checked, quota_exceeded
from local.aws.services.verifiedpermissions.stores import DEFAULT_GROUP_TYPE, find_store, new_id
from local.aws.services.verifiedpermissions.tokens import IdentitySource


@checked("CreateIdentitySource")
def create_identity_source(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    if store.identity_sources:
        raise quota_exceeded("A policy store has one identity source", "IDENTITY_SOURCE")
    configuration, principal_type = params["configuration"], params.get("principalEntityType")
    if not principal_type:
        raise validation_error("principalEntityType is required")
    make = _cognito_source if "cognitoUserPoolConfiguration" in configuration else _oidc_source
    source = make(next(iter(configuration.values())), principal_type, context)
    store.identity_sources.append(source)
    store.forget("schema")
    now = datetime.now(UTC)
    return {
        "identitySourceId": source.identity_source_id,
        "policyStoreId": store.policy_store_id,
        "createdDate": now,
        "lastUpdatedDate": now,
    }


def _cognito_source(config: Params, principal_type: str, context: Context) -> IdentitySource:
    region, pool_id = config["userPoolArn"].split(":")[3], config["userPoolArn"].rsplit("/", 1)[-1]
    return IdentitySource(
        identity_source_id=new_id(),
        issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool_id}",
        keys_url=f"{context.cloud.endpoint}/{pool_id}/.well-known/jwks.json",
        entity_prefix=pool_id,
        client_ids=config.get("clientIds") or [],
        principal_type=principal_type,
        group_claim="cognito:groups",
        group_type=(config.get("groupConfiguration") or {}).get("groupEntityType") or DEFAULT_GROUP_TYPE,
    )


def _oidc_source(config: Params, principal_type: str, _: Context) -> IdentitySource:
    selection = config["tokenSelection"]
    chosen = selection.get("identityTokenOnly") or selection.get("accessTokenOnly") or {}
    group = config.get("groupConfiguration") or {}
    return IdentitySource(
        identity_source_id=new_id(),
        issuer=config["issuer"],
        keys_url="",
        entity_prefix=config.get("entityIdPrefix") or config["issuer"],
        client_ids=chosen.get("clientIds") or chosen.get("audiences") or [],
        principal_type=principal_type,
        group_claim=group.get("groupClaim", ""),
        group_type=group.get("groupEntityType"),
        principal_claim=chosen.get("principalIdClaim") or "sub",
        is_cognito=False,
        accepts=("id",) if "identityTokenOnly" in selection else ("access",),
    )
