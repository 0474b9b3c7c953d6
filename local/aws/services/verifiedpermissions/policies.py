"""Verified Permissions' policies: static ones, and those that fill a template."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, validation_error
from local.aws.services.verifiedpermissions.limits import MAX_BYTES_PER_RESOURCE, checked, quota_exceeded
from local.aws.services.verifiedpermissions.stores import (
    Policy,
    PolicyStore,
    check_name,
    check_statement,
    find_store,
    find_template,
    new_id,
)


@checked("CreatePolicy")
def create_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    check_name(params.get("name"), store.policies.values())
    make = _static if "static" in params["definition"] else _template_linked
    policy = make(store, params)
    _check_room(store, policy)
    store.policies[policy.policy_id] = policy
    store.forget("policy_set")
    return {**_policy_summary(store, policy)}


def _check_room(store: PolicyStore, new: Policy) -> None:
    """Raise when the policies about one resource, or about any, would be too large together."""
    about = new.scope.get("resource")
    same = (each for each in store.policies.values() if each.scope.get("resource") == about)
    if sum(map(_bytes, (*same, new))) > MAX_BYTES_PER_RESOURCE:
        raise quota_exceeded(
            f"The policies that apply to a resource are larger than {MAX_BYTES_PER_RESOURCE} bytes", "POLICY"
        )


def _bytes(policy: Policy) -> int:
    """Return the size that counts for a policy: for one linked to a template, that of the values that fill it."""
    if policy.template_id is None:
        return len(policy.statement.encode())
    filled = (policy.scope.get(part) or {} for part in ("principal", "resource"))
    return sum(len(value.encode()) for each in filled for value in each.values())


def _static(store: PolicyStore, params: Params) -> Policy:
    static = params["definition"]["static"]
    (parsed,) = check_statement(store, static["statement"], "staticPolicies")
    return Policy(
        new_id(),
        static["statement"],
        params.get("name"),
        static.get("description"),
        datetime.now(UTC),
        _scope(parsed),
    )


def _template_linked(store: PolicyStore, params: Params) -> Policy:
    link = params["definition"]["templateLinked"]
    template = find_template(store, link["policyTemplateId"])
    (parsed,) = check_statement(store, template.statement, "templates")
    wanted = {slot for slot in ("principal", "resource") if "slot" in json.dumps(parsed[slot])}
    given = {slot for slot in ("principal", "resource") if slot in link}
    if wanted != given:
        raise validation_error(
            f"The template has the slots {sorted(wanted)}, the policy fills {sorted(given)}"
        )
    slots = {slot: link[slot] for slot in given}
    return Policy(
        new_id(),
        template.statement,
        params.get("name"),
        None,
        datetime.now(UTC),
        {**_scope(parsed), **slots},
        template.template_id,
    )


def _scope(parsed: Params) -> Params:
    """Return the API's facts about a policy beside its text: effect, and the entities that its scope names."""
    scope: Params = {"effect": parsed["effect"].capitalize()}
    for part in ("principal", "resource"):
        entity = parsed[part].get("entity") or parsed[part].get("in", {}).get("entity")
        if entity:
            scope[part] = {"entityType": entity["type"], "entityId": entity["id"]}
    action = parsed["action"]
    actions = action.get("entities") or ([action["entity"]] if "entity" in action else [])
    if actions:
        scope["actions"] = [{"actionType": each["type"], "actionId": each["id"]} for each in actions]
    return scope


def _policy_summary(store: PolicyStore, policy: Policy) -> Params:
    return {
        "policyStoreId": store.policy_store_id,
        "policyId": policy.policy_id,
        "policyType": "TEMPLATE_LINKED" if policy.template_id else "STATIC",
        **policy.scope,
        "createdDate": policy.created,
        "lastUpdatedDate": policy.created,
    }


def _definition(policy: Policy, **static: str) -> Params:
    if policy.template_id:
        slots = {slot: policy.scope[slot] for slot in ("principal", "resource") if slot in policy.scope}
        return {"templateLinked": {"policyTemplateId": policy.template_id, **slots}}
    return {"static": {"description": policy.description, **static}}


@checked("GetPolicy")
def get_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    policy = _policy(store, params["policyId"])
    definition = _definition(policy, statement=policy.statement)
    return {**_policy_summary(store, policy), "definition": definition, "name": policy.name}


@checked("ListPolicies")
def list_policies(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    if params.get("filter"):
        raise NotImplementedHere("the local AWS lists all policies of a store, without a filter")
    return {
        "policies": [
            {**_policy_summary(store, policy), "definition": _definition(policy), "name": policy.name}
            for policy in store.policies.values()
        ]
    }


@checked("DeletePolicy")
def delete_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    # The operation is idempotent: a policy that is not there is no error.
    names = {params["policyId"]}
    store.policies = {
        key: each for key, each in store.policies.items() if not names & {each.policy_id, each.name}
    }
    store.forget("policy_set")
    return {}


def _policy(store: PolicyStore, policy_id: str) -> Policy:
    for policy in store.policies.values():
        if policy_id in (policy.policy_id, policy.name):
            return policy
    raise ServiceError(
        "ResourceNotFoundException",
        f"Policy {policy_id} does not exist",
        resourceId=policy_id,
        resourceType="POLICY",
    )
