"""Put the demo's users and records into a deployment: ``python -m demo.seed``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer

from demo import documents
from demo.accounts import Directory, load
from fmops.agent import NAMESPACE

Outputs = Mapping[str, Mapping[str, str]]
"""Stack outputs by stack id."""


def main(outputs: Outputs) -> Directory:
    """Seed the deployment with the given stack outputs, and return the directory, which can sign the users
    in.

    Raises ``PublishError`` if the agent's documents cannot be indexed.
    """
    job = documents.seed(outputs)
    data = load()
    directory = Directory(
        boto3.client("cognito-idp"),
        user_pool_id=outputs["Identity"]["UserPoolId"],
        client_id=outputs["Identity"]["UserPoolClientId"],
    )
    subjects = {name: directory.create(name, profile).subject for name, profile in data["users"].items()}
    put_items(outputs["Assistant"]["RecordsTableName"], data, subjects)
    make_grants(outputs["Identity"], data["grants"], subjects)
    documents.wait(outputs, job)
    return directory


def make_grants(
    identity: Mapping[str, str], grants: Sequence[Mapping[str, str]], subjects: Mapping[str, str]
) -> None:
    """Grant single records to single users, as an administrator does: one policy for each, linked to its
    template.
    """
    permissions, store = boto3.client("verifiedpermissions"), identity["PolicyStoreId"]
    pages = permissions.get_paginator("list_policy_templates").paginate(policyStoreId=store)
    # A template is named after its file, followed by its scope.
    templates = {
        item["name"].split("/")[1]: item["policyTemplateId"]
        for page in pages
        for item in page["policyTemplates"]
    }
    for grant in grants:
        user, kind, granted = grant["user"], grant["kind"], grant["id"]
        link = {
            "policyTemplateId": templates[grant["template"]],
            "principal": {
                "entityType": f"{NAMESPACE}::User",
                "entityId": f"{identity['UserPoolId']}|{subjects[user]}",
            },
            "resource": {"entityType": f"{NAMESPACE}::{kind}", "entityId": granted},
        }
        with suppress(permissions.exceptions.ConflictException):  # an earlier seed created it
            permissions.create_policy(
                policyStoreId=store,
                name=f"name/{grant['template']}-{user}-{granted}",
                definition={"templateLinked": link},
            )


def put_items(table: str, data: Mapping[str, Any], subjects: Mapping[str, str]) -> None:
    """Write the agent's records, which start again as they are in the file."""
    client, serializer = boto3.client("dynamodb"), TypeSerializer()
    for item in items(data, subjects):
        client.put_item(
            TableName=table, Item={name: serializer.serialize(value) for name, value in item.items()}
        )


@contextmanager
def copied(table: str, copies: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
    """Copy records for as long as the context lasts. ``copies`` has, for each kind, the originals by the ids of
    their copies."""
    client = boto3.client("dynamodb")

    def key(kind: str, record_id: str) -> dict[str, Any]:
        return {"kind": {"S": kind}, "id": {"S": record_id}}

    made = [(kind, own, original) for kind, ids in copies.items() for own, original in ids.items()]
    try:
        for kind, own, original in made:
            item = client.get_item(TableName=table, Key=key(kind, original), ConsistentRead=True)["Item"]
            client.put_item(TableName=table, Item=item | key(kind, own))
        yield
    finally:
        for kind, own, _ in made:
            client.delete_item(TableName=table, Key=key(kind, own))


def items(data: Mapping[str, Any], subjects: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the table's items: people by their subject, and the records by kind and id, with subjects for
    users.
    """
    people = [
        {"kind": "person", "id": subjects[name], "suspended": profile.get("suspended", False)}
        for name, profile in data["users"].items()
    ]
    records = [
        {"kind": kind, "id": key, **fields}
        for kind, of_kind in with_users(data["records"], subjects).items()
        for key, fields in of_kind.items()
    ]
    return people + records


def with_users(value: Any, names: Mapping[str, str]) -> Any:
    """Return ``value`` with each ``@user`` replaced by what ``names`` has for that user. Raises ``KeyError``
    for unknown users."""
    match value:
        case dict():
            return {key: with_users(item, names) for key, item in value.items()}
        case list():
            return [with_users(item, names) for item in value]
        case str() if value.startswith("@"):
            return names[value.removeprefix("@")]
        case _:
            return value
