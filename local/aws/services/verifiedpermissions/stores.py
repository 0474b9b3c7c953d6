"""Verified Permissions on the Cedar engine: requests, entities and policies are always checked against the schema."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import cedarpy

from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
    validation_error,
)
from local.aws.kernel.cloud import Cloud
from local.aws.services.verifiedpermissions.tokens import IdentitySource

SERVICE = "verifiedpermissions"
MAX_POLICY_BYTES = 10_000
MAX_SCHEMA_BYTES = 100_000


@dataclass(frozen=True)
class Template:
    template_id: str
    statement: str
    name: str | None
    description: str | None
    created: datetime


@dataclass(frozen=True)
class Policy:
    policy_id: str
    statement: str  # of the template, when it is linked to one
    name: str | None
    description: str | None
    created: datetime
    scope: Params  # effect, principal, resource and actions, as the API names them
    template_id: str | None = None


@dataclass
class PolicyStore:
    policy_store_id: str
    arn: str
    mode: str
    created: datetime
    description: str | None = None
    deletion_protection: str = "DISABLED"
    schema_json: str | None = None
    policies: dict[str, Policy] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    identity_sources: list[IdentitySource] = field(default_factory=list)

    @cached_property
    def schema(self) -> Any:
        return cedarpy.Schema.from_json_str(self.schema_json) if self.schema_json else None

    @cached_property
    def policy_set(self) -> tuple[Any, dict[str, str]]:
        """The parsed policies, and the parser's ids (policy0, policy1, ...) to the service's."""
        static = [policy for policy in self.policies.values() if policy.template_id is None]
        templates = list(self.templates.values())
        # Templates come last: the parser numbers static policies and templates together.
        statements = [policy.statement for policy in static] + [each.statement for each in templates]
        parsed = cedarpy.PolicySet.from_str("\n".join(statements))
        ids = {f"policy{number}": policy.policy_id for number, policy in enumerate(static)}
        template_ids = {
            each.template_id: f"policy{number}" for number, each in enumerate(templates, len(static))
        }
        for policy in self.policies.values():
            if policy.template_id is not None:
                slots = {
                    f"?{slot}": {
                        "type": policy.scope[slot]["entityType"],
                        "id": policy.scope[slot]["entityId"],
                    }
                    for slot in ("principal", "resource")
                    if slot in policy.scope
                }
                parsed = parsed.with_linked(template_ids[policy.template_id], policy.policy_id, slots)
                ids[policy.policy_id] = policy.policy_id
        return parsed, ids

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
        self.aliases: dict[str, str] = {}


def find_store(params: Params, context: Context) -> PolicyStore:
    """The store of an id, or of an alias, which stands wherever an id does."""
    state, store_id = context.state(PolicyStores), params["policyStoreId"]
    stores, store_id = state.by_id, state.aliases.get(store_id, store_id)
    if store_id not in stores:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Policy store {store_id} does not exist",
            resourceId=store_id,
            resourceType="POLICY_STORE",
        )
    return stores[store_id]


def new_id(length: int = 22) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


@operation(SERVICE, "CreatePolicyStore")
def create_policy_store(params: Params, context: Context) -> Params:
    store_id, now = new_id(), datetime.now(UTC)
    arn = context.arn(SERVICE, f"policy-store/{store_id}", region="")
    mode = params["validationSettings"]["mode"]
    context.state(PolicyStores).by_id[store_id] = PolicyStore(
        store_id,
        arn,
        mode,
        now,
        params.get("description"),
        params.get("deletionProtection", "DISABLED"),
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
        "deletionProtection": store.deletion_protection,
        "createdDate": store.created,
        "lastUpdatedDate": store.created,
    }


@operation(SERVICE, "DeletePolicyStore")
def delete_policy_store(params: Params, context: Context) -> Params:
    stores = context.state(PolicyStores).by_id
    store = stores.get(params["policyStoreId"])
    if store and store.deletion_protection == "ENABLED":
        raise ServiceError("InvalidStateException", "Deletion protection of the policy store is enabled")
    stores.pop(params["policyStoreId"], None)
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
    check_name(params.get("name"), store.policies.values())
    make = _static if "static" in params["definition"] else _template_linked
    policy = make(store, params)
    store.policies[policy.policy_id] = policy
    store.forget("policy_set")
    return {**_policy_summary(store, policy)}


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


def check_name(name: str | None, others: Iterable[Policy | Template]) -> None:
    if name is None:
        return
    if not name.startswith("name/"):
        raise validation_error("The name must be prefixed with name/")
    if any(other.name == name for other in others):
        raise ServiceError("ConflictException", f"The name {name} is in use", resources=[])


def check_statement(store: PolicyStore, statement: str, kind: str) -> list[Params]:
    """The statement as Cedar JSON; ValidationException unless it is one of its kind that the schema permits."""
    if len(statement.encode()) > MAX_POLICY_BYTES:
        raise validation_error(f"The policy is larger than {MAX_POLICY_BYTES} bytes")
    try:
        parsed: Params = json.loads(cedarpy.policies_to_json_str(statement))
    except ValueError as error:
        raise validation_error(f"Invalid policy: {error}") from error
    count = len(parsed["staticPolicies"]) + len(parsed["templates"])
    if count != 1 or not parsed[kind]:
        what = "template with a slot" if kind == "templates" else "policy"
        raise validation_error(f"A {what} has exactly one statement of its kind, this one has {count}")
    if store.mode == "STRICT":
        if store.schema_json is None:
            raise validation_error(
                "The policy store validates strictly and has no schema: put a schema first"
            )
        result = cedarpy.validate_policies(statement, store.schema_json)
        if not result.validation_passed:
            raise validation_error("Invalid policy: " + "; ".join(error.error for error in result.errors))
    return list(parsed[kind].values())


def _scope(parsed: Params) -> Params:
    """What the API says of a policy beside its text: effect, and the entities that its scope names."""
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


def find_template(store: PolicyStore, template_id: str) -> Template:
    for template in store.templates.values():
        if template_id in (template.template_id, template.name):
            return template
    raise ServiceError(
        "ResourceNotFoundException",
        f"Policy template {template_id} does not exist",
        resourceId=template_id,
        resourceType="POLICY_TEMPLATE",
    )


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


@operation(SERVICE, "GetPolicy")
def get_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    policy = _policy(store, params["policyId"])
    definition = _definition(policy, statement=policy.statement)
    return {**_policy_summary(store, policy), "definition": definition, "name": policy.name}


@operation(SERVICE, "ListPolicies")
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


@operation(SERVICE, "DeletePolicy")
def delete_policy(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    del store.policies[_policy(store, params["policyId"]).policy_id]
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
