"""Puts the demo's users, customers and claims into a deployment: ``python -m demo.seed``."""

from __future__ import annotations

from collections.abc import Mapping
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
    return directory


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
