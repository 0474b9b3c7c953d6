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
MAX_BATCH = 30


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


def _store(params: Params, context: Context) -> PolicyStore:
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
    store = _store(params, context)
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
    store = _store(params, context)
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
    store = _store(params, context)
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
    store = _store(params, context)
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
    store = _store(params, context)
    policy = _policy(store, params["policyId"])
    static = {"static": {"statement": policy.statement, "description": policy.description}}
    return {**_policy_summary(store, policy), "definition": static, "name": policy.name}


@operation(SERVICE, "ListPolicies")
def list_policies(params: Params, context: Context) -> Params:
    store = _store(params, context)
    return {
        "policies": [
            {**_policy_summary(store, policy), "definition": {"static": {"description": policy.description}}}
            for policy in store.policies.values()
        ]
    }


@operation(SERVICE, "DeletePolicy")
def delete_policy(params: Params, context: Context) -> Params:
    store = _store(params, context)
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
    store = _store(params, context)
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


@operation(SERVICE, "IsAuthorized")
def is_authorized(params: Params, context: Context) -> Params:
    store = _store(params, context)
    return _decide(store, [_request(params, params.get("principal"))], _entities(params))[0]


@operation(SERVICE, "BatchIsAuthorized")
def batch_is_authorized(params: Params, context: Context) -> Params:
    store = _store(params, context)
    requests = _batch(params)
    decisions = _decide(
        store, [_request(each, each.get("principal")) for each in requests], _entities(params)
    )
    return {
        "results": [
            {"request": request, **decision} for request, decision in zip(requests, decisions, strict=True)
        ]
    }


@operation(SERVICE, "IsAuthorizedWithToken")
def is_authorized_with_token(params: Params, context: Context) -> Params:
    store = _store(params, context)
    principal, entities, token_context = _principal(store, params)
    decision = _decide(store, [_request(params, principal, token_context)], entities)[0]
    return {**decision, "principal": principal}


@operation(SERVICE, "BatchIsAuthorizedWithToken")
def batch_is_authorized_with_token(params: Params, context: Context) -> Params:
    store = _store(params, context)
    requests = _batch(params)
    principal, entities, token_context = _principal(store, params)
    decisions = _decide(store, [_request(each, principal, token_context) for each in requests], entities)
    results = [
        {"request": request, **decision} for request, decision in zip(requests, decisions, strict=True)
    ]
    return {"principal": principal, "results": results}


def _batch(params: Params) -> list[Params]:
    requests: list[Params] = params["requests"]
    if not 1 <= len(requests) <= MAX_BATCH:
        raise validation_error(f"A batch has 1 to {MAX_BATCH} requests, this one has {len(requests)}")
    return requests


def _principal(store: PolicyStore, params: Params) -> tuple[Params, list[Params], Params]:
    """The principal from the verified token, all entities of the request, and what a token adds to the context."""
    if not store.identity_sources:
        raise validation_error("The policy store has no identity source")
    given = [name for name in ("identityToken", "accessToken") if params.get(name)]
    if len(given) != 1:
        raise validation_error("Give either identityToken or accessToken")
    source, token_use = store.identity_sources[0], "id" if given == ["identityToken"] else "access"
    claims = source.verify(params[given[0]], token_use)
    entities = _entities(params)
    reserved = {source.principal_type, source.group_type}
    if any(entity["uid"]["type"] in reserved for entity in entities):
        raise validation_error(
            f"Entities of type {source.principal_type} come from the token and cannot be passed"
        )
    principal_id = f"{source.entity_prefix}|{claims[source.principal_claim]}"
    groups = claims.get(source.group_claim, []) if source.group_type else []
    entity = {
        "uid": {"type": source.principal_type, "id": principal_id},
        "attrs": _attributes(store, source.principal_type, claims) if token_use == "id" else {},
        "parents": [{"type": source.group_type, "id": f"{source.entity_prefix}|{group}"} for group in groups],
    }
    token_context = (
        {"token": {name: claim for name, claim in claims.items() if claim is not None}}
        if token_use == "access"
        else {}
    )
    return {"entityType": source.principal_type, "entityId": principal_id}, [entity, *entities], token_context


def _attributes(store: PolicyStore, entity_type: str, claims: Params) -> Params:
    """ID token claims become attributes of the principal; with a schema, those that it declares."""
    declared = store.attribute_names(entity_type)
    return {
        name: claim
        for name, claim in claims.items()
        if claim is not None and (declared is None or name in declared)
    }


def _request(params: Params, principal: Params | None, extra_context: Params | None = None) -> Params:
    if not principal:
        raise validation_error("principal is required")
    for name in ("action", "resource"):
        if not params.get(name):
            raise validation_error(f"{name} is required")
    context = params.get("context") or {}
    body = (
        json.loads(context["cedarJson"]) if "cedarJson" in context else _record(context.get("contextMap", {}))
    )
    return {
        "principal": _uid(principal),
        "action": {"type": params["action"]["actionType"], "id": params["action"]["actionId"]},
        "resource": _uid(params["resource"]),
        "context": {**body, **(extra_context or {})},
    }


def _entities(params: Params) -> list[Params]:
    given = params.get("entities") or {}
    if "cedarJson" in given:
        return list(json.loads(given["cedarJson"]))
    return [
        {
            "uid": _uid(entity["identifier"]),
            "attrs": _record(entity.get("attributes") or {}),
            "parents": [_uid(parent) for parent in entity.get("parents") or []],
            "tags": _record(entity.get("tags") or {}),
        }
        for entity in given.get("entityList", [])
    ]


def _uid(identifier: Params) -> Params:
    return {"type": identifier["entityType"], "id": identifier["entityId"]}


def _record(values: Params) -> Params:
    return {name: _value(value) for name, value in values.items()}


EXTENSIONS = {"ipaddr": "ip", "decimal": "decimal", "datetime": "datetime", "duration": "duration"}


def _value(attribute: Params) -> Any:
    """An AttributeValue of the API as Cedar JSON."""
    if len(attribute) != 1:
        raise validation_error(f"An attribute value has exactly one type, this one has {sorted(attribute)}")
    ((kind, value),) = attribute.items()
    if kind == "set":
        return [_value(each) for each in value]
    if kind == "record":
        return _record(value)
    if kind == "entityIdentifier":
        return {"__entity": _uid(value)}
    if kind in EXTENSIONS:
        return {"__extn": {"fn": EXTENSIONS[kind], "arg": value}}
    return value


def _decide(store: PolicyStore, requests: list[Params], entities: list[Params]) -> list[Params]:
    policy_set, service_ids = store.policy_set
    results = cedarpy.is_authorized_batch(requests, policy_set, entities, store.schema)
    decisions = []
    for result in results:
        if result.decision == cedarpy.Decision.NoDecision:
            raise validation_error("Invalid input: " + "; ".join(result.diagnostics.errors))
        errors = [_with_service_ids(error, service_ids) for error in result.diagnostics.errors]
        decisions.append(
            {
                "decision": "ALLOW" if result.allowed else "DENY",
                "determiningPolicies": [
                    {"policyId": service_ids[reason]} for reason in result.diagnostics.reasons
                ],
                "errors": [{"errorDescription": error} for error in errors],
            }
        )
    return decisions


def _with_service_ids(error: str, service_ids: dict[str, str]) -> str:
    for parser_id, service_id in service_ids.items():
        error = error.replace(f"`{parser_id}`", f"`{service_id}`")
    return error
