"""Verified Permissions' decisions: requests, entities and principals as Cedar takes them, decided by the Cedar engine."""

from __future__ import annotations

import json
from typing import Any

import cedarpy

from local.aws.kernel.api import Context, Params, operation, validation_error
from local.aws.services.verifiedpermissions.stores import SERVICE, PolicyStore, find_store

MAX_BATCH = 30


@operation(SERVICE, "IsAuthorized")
def is_authorized(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    return _decide(store, [_request(params, params.get("principal"))], _entities(params))[0]


@operation(SERVICE, "BatchIsAuthorized")
def batch_is_authorized(params: Params, context: Context) -> Params:
    store = find_store(params, context)
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
    store = find_store(params, context)
    principal, entities, token_context = _principal(store, params)
    decision = _decide(store, [_request(params, principal, token_context)], entities)[0]
    return {**decision, "principal": principal}


@operation(SERVICE, "BatchIsAuthorizedWithToken")
def batch_is_authorized_with_token(params: Params, context: Context) -> Params:
    store = find_store(params, context)
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
