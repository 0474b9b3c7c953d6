"""Puts the demo's users, customers and claims into a deployment: ``python -m demo.seed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer

from demo.accounts import Directory, load

Outputs = Mapping[str, Mapping[str, str]]
"""Stack outputs by stack id."""


def main(outputs: Outputs) -> Directory:
    """Seed the deployment whose stack outputs are given; answers the directory, which can sign the users in."""
    data = load()
    directory = Directory(
        boto3.client("cognito-idp"),
        user_pool_id=outputs["Identity"]["UserPoolId"],
        client_id=outputs["Identity"]["UserPoolClientId"],
    )
    subjects = {name: directory.create(name, profile).subject for name, profile in data["users"].items()}
    put_items(outputs["Assistant"]["ClaimsTableName"], data, subjects)
    make_grants(outputs["Identity"], data["grants"], subjects)
    return directory


def make_grants(
    identity: Mapping[str, str], grants: Sequence[Mapping[str, str]], subjects: Mapping[str, str]
) -> None:
    """Grant single claims to single users, as an administrator does: one policy each, linked to its template."""
    permissions, store = boto3.client("verifiedpermissions"), identity["PolicyStoreId"]
    pages = permissions.get_paginator("list_policy_templates").paginate(policyStoreId=store)
    templates = {item["name"]: item["policyTemplateId"] for page in pages for item in page["policyTemplates"]}
    for grant in grants:
        user, claim = grant["user"], grant["claim"]
        link = {
            "policyTemplateId": templates[f"name/{grant['template']}"],
            "principal": {
                "entityType": "ClaimsDesk::User",
                "entityId": f"{identity['UserPoolId']}|{subjects[user]}",
            },
            "resource": {"entityType": "ClaimsDesk::Claim", "entityId": claim},
        }
        with suppress(permissions.exceptions.ConflictException):  # an earlier seed made it
            permissions.create_policy(
                policyStoreId=store,
                name=f"name/{grant['template']}-{user}-{claim}",
                definition={"templateLinked": link},
            )


def put_items(table: str, data: Mapping[str, Any], subjects: Mapping[str, str]) -> None:
    """Write what the desk knows. Claims begin again as they stand in the file."""
    client, serializer = boto3.client("dynamodb"), TypeSerializer()
    for item in items(data, subjects):
        client.put_item(
            TableName=table, Item={name: serializer.serialize(value) for name, value in item.items()}
        )


def items(data: Mapping[str, Any], subjects: Mapping[str, str]) -> list[dict[str, Any]]:
    """The table's items: staff by their subject, customers and claims by their id."""
    staff = [
        {"kind": "staff", "id": subjects[name], "suspended": profile.get("suspended", False)}
        for name, profile in data["users"].items()
        if "staff" in profile["groups"]
    ]
    customers = [{"kind": "customer", "id": key, **fields} for key, fields in data["customers"].items()]
    claims = [
        {"kind": "claim", "id": key, "siu_hold": False, **fields, "claimant": subjects[fields["claimant"]]}
        for key, fields in data["claims"].items()
    ]
    return staff + customers + claims
