"""Verified Permissions on the Cedar engine: requests, entities and policies are always checked against the schema."""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import cedarpy

from local.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
    validation_error,
)
from local.cloud import Cloud
from local.tokens import IdentitySource

SERVICE = "verifiedpermissions"
MAX_POLICY_BYTES = 10_000
MAX_SCHEMA_BYTES = 100_000


@dataclass(frozen=True)
class Policy:
    policy_id: str
    statement: str
    effect: str
    name: str | None
    description: str | None
    created: datetime


@dataclass
class PolicyStore:
    policy_store_id: str
    arn: str
    mode: str
    created: datetime
    description: str | None = None
    schema_json: str | None = None
    policies: dict[str, Policy] = field(default_factory=dict)
    identity_sources: list[IdentitySource] = field(default_factory=list)

    @cached_property
    def schema(self) -> Any:
        return cedarpy.Schema.from_json_str(self.schema_json) if self.schema_json else None

    @cached_property
    def policy_set(self) -> tuple[Any, dict[str, str]]:
        """The parsed policies, and the parser's ids (policy0, policy1, ...) to the service's."""
        text = "\n".join(policy.statement for policy in self.policies.values())
        return cedarpy.PolicySet.from_str(text), {
            f"policy{n}": policy for n, policy in enumerate(self.policies)
        }

    def forget(self, name: str) -> None:
        self.__dict__.pop(name, None)

    def attribute_names(self, entity_type: str) -> set[str] | None:
        """What the schema declares for an entity type; None without a schema."""
        if self.schema_json is None:
            return None
        namespace, _, name = entity_type.rpartition("::")
        declared = json.loads(self.schema_json).get(namespace, {}).get("entityTypes", {}).get(name, {})
        return set(declared.get("shape", {}).get("attributes", {}))


class PolicyStores(ServiceState):
    """All policy stores of the account."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_id: dict[str, PolicyStore] = {}


def find_store(params: Params, context: Context) -> PolicyStore:
    stores = context.state(PolicyStores).by_id
    store_id = params["policyStoreId"]
    if store_id not in stores:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Policy store {store_id} does not exist",
            resourceId=store_id,
            resourceType="POLICY_STORE",
        )
    return stores[store_id]


def _new_id(length: int = 22) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


@operation(SERVICE, "CreatePolicyStore")
def create_policy_store(params: Params, context: Context) -> Params:
    store_id, now = _new_id(), datetime.now(UTC)
    arn = context.arn(SERVICE, f"policy-store/{store_id}", region="")
    mode = params["validationSettings"]["mode"]
    context.state(PolicyStores).by_id[store_id] = PolicyStore(
        store_id, arn, mode, now, params.get("description")
    )
    return {"policyStoreId": store_id, "arn": arn, "createdDate": now, "lastUpdatedDate": now}


@operation(SERVICE, "GetPolicyStore")
def get_policy_store(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    return {
        "policyStoreId": store.policy_store_id,
        "arn": store.arn,
        "validationSettings": {"mode": store.mode},
        "description": store.description,
        "createdDate": store.created,
        "lastUpdatedDate": store.created,
    }


@operation(SERVICE, "DeletePolicyStore")
def delete_policy_store(params: Params, context: Context) -> Params:
    context.state(PolicyStores).by_id.pop(params["policyStoreId"], None)
    return {}


@operation(SERVICE, "PutSchema")
def put_schema(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    text = params["definition"]["cedarJson"]
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise validation_error(f"The schema is larger than {MAX_SCHEMA_BYTES} bytes")
    try:
        cedarpy.Schema.from_json_str(text)
    except ValueError as error:
        raise validation_error(f"Invalid schema: {error}") from error
    store.schema_json = text
    store.forget("schema")
    now = datetime.now(UTC)
    namespaces = list(json.loads(text))
    return {
        "policyStoreId": store.policy_store_id,
        "namespaces": namespaces,
        "createdDate": now,
        "lastUpdatedDate": now,
    }


@operation(SERVICE, "GetSchema")
def get_schema(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    if store.schema_json is None:
        raise ServiceError(
            "ResourceNotFoundException",
            "The policy store has no schema",
            resourceId=store.policy_store_id,
            resourceType="SCHEMA",
        )
    dates = {"createdDate": store.created, "lastUpdatedDate": store.created}
    return {"policyStoreId": store.policy_store_id, "schema": store.schema_json, **dates}


@operation(SERVICE, "CreatePolicy")
def create_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    if "static" not in params["definition"]:
        raise NotImplementedHere("the local AWS takes static policies, no template-linked ones")
    statement = params["definition"]["static"]["statement"]
    effect = _check_statement(store, statement)
    policy_id, now = _new_id(), datetime.now(UTC)
    store.policies[policy_id] = Policy(
        policy_id,
        statement,
        effect,
        params.get("name"),
        params["definition"]["static"].get("description"),
        now,
    )
    store.forget("policy_set")
    return {**_policy_summary(store, store.policies[policy_id])}


def _check_statement(store: PolicyStore, statement: str) -> str:
    """The statement's effect; ValidationException unless it is one static policy that the schema permits."""
    if len(statement.encode()) > MAX_POLICY_BYTES:
        raise validation_error(f"The policy is larger than {MAX_POLICY_BYTES} bytes")
    try:
        static = json.loads(cedarpy.policies_to_json_str(statement))["staticPolicies"]
    except ValueError as error:
        raise validation_error(f"Invalid policy: {error}") from error
    if len(static) != 1:
        raise validation_error(f"A policy has exactly one statement, this one has {len(static)}")
    if store.mode == "STRICT":
        if store.schema_json is None:
            raise validation_error(
                "The policy store validates strictly and has no schema: put a schema first"
            )
        result = cedarpy.validate_policies(statement, store.schema_json)
        if not result.validation_passed:
            raise validation_error("Invalid policy: " + "; ".join(error.error for error in result.errors))
    (policy,) = static.values()
    return "Permit" if policy["effect"] == "permit" else "Forbid"


def _policy_summary(store: PolicyStore, policy: Policy) -> Params:
    return {
        "policyStoreId": store.policy_store_id,
        "policyId": policy.policy_id,
        "policyType": "STATIC",
        "effect": policy.effect,
        "createdDate": policy.created,
        "lastUpdatedDate": policy.created,
    }


@operation(SERVICE, "GetPolicy")
def get_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    policy = _policy(store, params["policyId"])
    static = {"static": {"statement": policy.statement, "description": policy.description}}
    return {**_policy_summary(store, policy), "definition": static, "name": policy.name}


@operation(SERVICE, "ListPolicies")
def list_policies(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    return {
        "policies": [
            {**_policy_summary(store, policy), "definition": {"static": {"description": policy.description}}}
            for policy in store.policies.values()
        ]
    }


@operation(SERVICE, "DeletePolicy")
def delete_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    del store.policies[_policy(store, params["policyId"]).policy_id]
    store.forget("policy_set")
    return {}


def _policy(store: PolicyStore, policy_id: str) -> Policy:
    if policy_id not in store.policies:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Policy {policy_id} does not exist",
            resourceId=policy_id,
            resourceType="POLICY",
        )
    return store.policies[policy_id]


@operation(SERVICE, "CreateIdentitySource")
def create_identity_source(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    if store.identity_sources:
        raise ServiceError(
            "ServiceQuotaExceededException",
            "A policy store has one identity source",
            serviceCode=SERVICE,
            quotaCode="1",
        )
    configuration, principal_type = params["configuration"], params.get("principalEntityType")
    if not principal_type:
        raise validation_error("principalEntityType is required")
    make = _cognito_source if "cognitoUserPoolConfiguration" in configuration else _oidc_source
    source = make(next(iter(configuration.values())), principal_type, context)
    store.identity_sources.append(source)
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
        identity_source_id=_new_id(),
        issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool_id}",
        keys_url=f"{context.cloud.endpoint}/{pool_id}/.well-known/jwks.json",
        entity_prefix=pool_id,
        client_ids=config.get("clientIds") or [],
        principal_type=principal_type,
        group_claim="cognito:groups",
        group_type=(config.get("groupConfiguration") or {}).get("groupEntityType"),
    )


def _oidc_source(config: Params, principal_type: str, _: Context) -> IdentitySource:
    selection = config["tokenSelection"]
    chosen = selection.get("identityTokenOnly") or selection.get("accessTokenOnly") or {}
    group = config.get("groupConfiguration") or {}
    return IdentitySource(
        identity_source_id=_new_id(),
        issuer=config["issuer"],
        keys_url="",
        entity_prefix=config.get("entityIdPrefix") or config["issuer"],
        client_ids=chosen.get("clientIds") or chosen.get("audiences") or [],
        principal_type=principal_type,
        group_claim=group.get("groupClaim", ""),
        group_type=group.get("groupEntityType"),
        principal_claim=chosen.get("principalIdClaim") or "sub",
        is_cognito=False,
    )
