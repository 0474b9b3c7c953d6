"""Verified Permissions' policy templates, which grants to one person are made from, and aliases of policy stores."""

from __future__ import annotations

from datetime import UTC, datetime

from local.aws.kernel.api import Context, Params, ServiceError, validation_error
from local.aws.services.verifiedpermissions.limits import (
    MAX_TEMPLATES,
    SERVICE,
    check_template_scope,
    checked,
    quota_exceeded,
)
from local.aws.services.verifiedpermissions.stores import (
    PolicyStore,
    PolicyStores,
    Template,
    check_name,
    check_statement,
    find_store,
    find_template,
    new_id,
)

ALIAS_PREFIX = "policy-store-alias/"


@checked("CreatePolicyTemplate")
def create_policy_template(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    check_name(params.get("name"), store.templates.values())
    (parsed,) = check_statement(store, params["statement"], "templates")
    check_template_scope(parsed)
    if len(store.templates) >= MAX_TEMPLATES:
        raise quota_exceeded(f"A policy store has at most {MAX_TEMPLATES} templates", "POLICY_TEMPLATE")
    template = Template(
        new_id(), params["statement"], params.get("name"), params.get("description"), datetime.now(UTC)
    )
    store.templates[template.template_id] = template
    store.forget("policy_set")
    return _summary(store, template)


@checked("GetPolicyTemplate")
def get_policy_template(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    template = find_template(store, params["policyTemplateId"])
    return {**_summary(store, template), "statement": template.statement, "description": template.description}


@checked("ListPolicyTemplates")
def list_policy_templates(params: Params, context: Context) -> Params:
    store = find_store(params, context)
    return {
        "policyTemplates": [
            {**_summary(store, template), "description": template.description}
            for template in store.templates.values()
        ]
    }


@checked("DeletePolicyTemplate")
def delete_policy_template(params: Params, context: Context) -> Params:
    """The policies that are linked to it go with it."""
    store = find_store(params, context)
    template_id = find_template(store, params["policyTemplateId"]).template_id
    del store.templates[template_id]
    store.policies = {
        key: policy for key, policy in store.policies.items() if policy.template_id != template_id
    }
    store.forget("policy_set")
    return {}


def _summary(store: PolicyStore, template: Template) -> Params:
    return {
        "policyStoreId": store.policy_store_id,
        "policyTemplateId": template.template_id,
        "name": template.name,
        "createdDate": template.created,
        "lastUpdatedDate": template.created,
    }


@checked("CreatePolicyStoreAlias")
def create_policy_store_alias(params: Params, context: Context) -> Params:
    name, store = params["aliasName"], find_store(params, context)
    aliases = context.state(PolicyStores).aliases
    if not name.startswith(ALIAS_PREFIX):
        raise validation_error(f"The alias name must be prefixed with {ALIAS_PREFIX}")
    if aliases.setdefault(name, store.policy_store_id) != store.policy_store_id:
        raise ServiceError("ConflictException", f"The alias {name} is of another policy store", resources=[])
    return _alias(name, store, context)


@checked("GetPolicyStoreAlias")
def get_policy_store_alias(params: Params, context: Context) -> Params:
    name = params["aliasName"]
    store = find_store({"policyStoreId": name}, context)
    return {**_alias(name, store, context), "state": "Active"}


@checked("DeletePolicyStoreAlias")
def delete_policy_store_alias(params: Params, context: Context) -> Params:
    context.state(PolicyStores).aliases.pop(params["aliasName"], None)
    return {}


def _alias(name: str, store: PolicyStore, context: Context) -> Params:
    arn = context.arn(SERVICE, name, region="")
    return {
        "aliasName": name,
        "policyStoreId": store.policy_store_id,
        "aliasArn": arn,
        "createdAt": datetime.now(UTC),
    }
