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
    Params,
    ServiceError,
    ServiceState,
    validation_error,
)
from local.aws.kernel.cloud import Cloud
from local.aws.services.verifiedpermissions.limits import (
    SERVICE,
    check_schema,
    checked,
)
from local.aws.services.verifiedpermissions.tokens import IdentitySource

MAX_POLICY_BYTES = 10_000
DEFAULT_GROUP_TYPE = "AWS::CognitoGroup"
"""Entity type of a user pool's groups when an identity source names none. No schema can declare it: its namespace is
reserved.
"""


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

    @property
    def known_schema(self) -> str | None:
        """The schema, with the type of groups that the service knows by itself."""
        source = next((each for each in self.identity_sources if each.group_type == DEFAULT_GROUP_TYPE), None)
        if self.schema_json is None or source is None:
            return self.schema_json
        schema = json.loads(self.schema_json)
        namespace, _, name = source.principal_type.rpartition("::")
        principal = schema.get(namespace, {}).get("entityTypes", {}).get(name)
        if principal is not None:
            principal["memberOfTypes"] = [*principal.get("memberOfTypes", ()), DEFAULT_GROUP_TYPE]
        group_namespace, _, group = DEFAULT_GROUP_TYPE.rpartition("::")
        schema[group_namespace] = {"entityTypes": {group: {}}, "actions": {}}
        return json.dumps(schema)

    @cached_property
    def schema(self) -> Any:
        return cedarpy.Schema.from_json_str(self.known_schema) if self.known_schema else None

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
        """Return the schema's declaration of an entity type; None without a schema."""
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


@checked("CreatePolicyStore")
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


@checked("GetPolicyStore")
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


@checked("DeletePolicyStore")
def delete_policy_store(params: Params, context: Context) -> Params:
    stores = context.state(PolicyStores).by_id
    store = stores.get(params["policyStoreId"])
    if store and store.deletion_protection == "ENABLED":
        raise ServiceError("InvalidStateException", "Deletion protection of the policy store is enabled")
    stores.pop(params["policyStoreId"], None)
    return {}


@checked("PutSchema")
def put_schema(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    text = params["definition"]["cedarJson"]
    check_schema(text)
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


@checked("GetSchema")
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
        if (schema := store.known_schema) is None:
            raise validation_error(
                "The policy store validates strictly and has no schema: put a schema first"
            )
        result = cedarpy.validate_policies(statement, schema)
        if not result.validation_passed:
            raise validation_error("Invalid policy: " + "; ".join(error.error for error in result.errors))
    return list(parsed[kind].values())


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
