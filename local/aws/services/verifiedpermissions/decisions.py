"""Verified Permissions' decisions: requests, entities and principals as Cedar takes them, decided by the
Cedar engine.
"""

from __future__ import annotations

from typing import Any

import cedarpy

from local.aws.kernel.api import Context, Params, validation_error
from local.aws.services.verifiedpermissions.limits import (
    MAX_PARENTS,
    check_batch,
    check_entities,
    check_size,
    checked,
    is_action,
    last_of_each,
    parse_json,
    uid,
)
from local.aws.services.verifiedpermissions.stores import PolicyStore, find_store
from local.aws.services.verifiedpermissions.tokens import IdentitySource

TOKENS = {"identityToken": "id", "accessToken": "access"}


@checked("IsAuthorized")
def is_authorized(params: Params, context: Context) -> Params:
    return _with_principals(params, [params], context)[0]


@checked("BatchIsAuthorized")
def batch_is_authorized(params: Params, context: Context) -> Params:
    requests = params["requests"]
    check_batch(requests)
    decisions = _with_principals(params, requests, context, batch=True)
    return {"results": _results(requests, decisions)}


@checked("IsAuthorizedWithToken")
def is_authorized_with_token(params: Params, context: Context) -> Params:
    principal, decisions = _with_token(params, [params], context)
    return {**decisions[0], "principal": principal}


@checked("BatchIsAuthorizedWithToken")
def batch_is_authorized_with_token(params: Params, context: Context) -> Params:
    requests = params["requests"]
    check_batch(requests)
    principal, decisions = _with_token(params, requests, context, batch=True)
    return {"principal": principal, "results": _results(requests, decisions)}


def _results(requests: list[Params], decisions: list[Params]) -> list[Params]:
    return [{"request": request, **decision} for request, decision in zip(requests, decisions, strict=True)]


def _with_principals(
    params: Params, requests: list[Params], context: Context, *, batch: bool = False
) -> list[Params]:
    store = find_store(params, context)
    check_size(params)
    entities = _entities(params)
    if any(is_action(uid(entity)[0]) for entity in entities):
        raise validation_error("Entities cannot include actions: they are defined in the schema")
    asked = [_request(each, each.get("principal")) for each in requests]
    check_entities(entities, {each["principal"]["type"] for each in asked}, batch=batch)
    return _decide(store, asked, entities)


def _with_token(
    params: Params, requests: list[Params], context: Context, *, batch: bool = False
) -> tuple[Params, list[Params]]:
    store = find_store(params, context)
    check_size(params)
    principal, entities, token_context = _principal(store, params)
    check_entities(entities, {principal["entityType"]}, batch=batch)
    asked = [_request(each, principal, token_context) for each in requests]
    return principal, _decide(store, asked, entities)


def _principal(store: PolicyStore, params: Params) -> tuple[Params, list[Params], Params]:
    """The principal from the verified tokens, all entities of the request, and what a token adds to the
    context.
    """
    if not store.identity_sources:
        raise validation_error("The policy store has no identity source")
    source = store.identity_sources[0]
    claims = {use: source.verify(params[name], use) for name, use in TOKENS.items() if params.get(name)}
    if not claims:
        raise validation_error("Give either identityToken or accessToken, or both")
    ids = {str(each[source.principal_claim]) for each in claims.values()}
    if len(ids) > 1:
        raise validation_error("The identity token and the access token are of different principals")
    principal_id = f"{source.entity_prefix}|{ids.pop()}"
    groups = _groups(source, claims)
    entity = {
        "uid": {"type": source.principal_type, "id": principal_id},
        "attrs": _attributes(store, source.principal_type, claims.get("id", {})),
        "parents": [{"type": source.group_type, "id": f"{source.entity_prefix}|{group}"} for group in groups],
    }
    access = {name: claim for name, claim in claims.get("access", {}).items() if claim is not None}
    return (
        {"entityType": source.principal_type, "entityId": principal_id},
        [entity, *_resources(store, source, params)],
        {"token": access} if access else {},
    )


def _groups(source: IdentitySource, claims: dict[str, Params]) -> list[str]:
    """The groups of all tokens, each once."""
    found = [group for each in claims.values() for group in each.get(source.group_claim) or ()]
    groups = list(dict.fromkeys(found)) if source.group_type else []
    if len(groups) > MAX_PARENTS:
        raise validation_error(f"The principal has more than {MAX_PARENTS} user groups")
    return groups


def _resources(store: PolicyStore, source: IdentitySource, params: Params) -> list[Params]:
    """Return the entities of the request other than the principal. Actions are those of the schema, where there is
    one.
    """
    entities = _entities(params)
    reserved = {source.principal_type, source.group_type}
    if any(uid(entity)[0] in reserved for entity in entities):
        raise validation_error(
            f"Entities of type {source.principal_type} come from the token and cannot be passed, nor can their groups"
        )
    for entity in entities:
        if is_action(uid(entity)[0]) and any(entity.get(name) for name in ("attrs", "parents", "tags")):
            raise validation_error("An action among the entities has an identifier and nothing else")
    return [each for each in entities if store.schema is None or not is_action(uid(each)[0])]


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
    if "cedarJson" in context:
        body = parse_json(context["cedarJson"], "context")
        if not isinstance(body, dict):
            raise validation_error("Invalid context: it is no JSON object")
    else:
        body = _record(context.get("contextMap", {}))
    return {
        "principal": _uid(principal),
        "action": {"type": params["action"]["actionType"], "id": params["action"]["actionId"]},
        "resource": _uid(params["resource"]),
        "context": {**body, **(extra_context or {})},
    }


def _entities(params: Params) -> list[Params]:
    given = params.get("entities") or {}
    if "cedarJson" in given:
        found = parse_json(given["cedarJson"], "entities")
        if not isinstance(found, list):
            raise validation_error("Invalid entities: they are no JSON array")
        return last_of_each(found)
    return last_of_each(
        [
            {
                "uid": _uid(entity["identifier"]),
                "attrs": _record(entity.get("attributes") or {}),
                "parents": [_uid(parent) for parent in entity.get("parents") or []],
                "tags": _record(entity.get("tags") or {}),
            }
            for entity in given.get("entityList", [])
        ]
    )


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
