"""The sandbox's desk has the rules of the desk on DynamoDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from moto import mock_aws

from fmops.agent.records import PayoutRefused, Records
from fmops.agent.sandbox import SandboxRecords
from fmops.variants.sandbox import fixture, records

DEEDS: dict[str, Callable[[Records], Any]] = {
    "pay": lambda desk: desk.pay_out("C-8101", 100_000, "a", "r1"),
    "pay twice by one reference": lambda desk: [desk.pay_out("C-8101", 100, "a", "r1") for _ in range(2)],
    "pay all": lambda desk: desk.pay_out("C-8101", 900_000, "a", "r1"),
    "pay more than is open": lambda desk: desk.pay_out("C-8101", 900_001, "a", "r1"),
    "pay nothing": lambda desk: desk.pay_out("C-8101", 0, "a", "r1"),
    "pay on hold": lambda desk: desk.pay_out("C-8105", 100, "a", "r1"),
    "pay what is not there": lambda desk: desk.pay_out("C-1", 100, "a", "r1"),
    "note": lambda desk: desk.add_note("C-8107", "a", "seen"),
    "hold": lambda desk: desk.hold("C-8101", "why", "a"),
    "hold, then pay": lambda desk: (desk.hold("C-8101", "why", "a"), desk.pay_out("C-8101", 1, "a", "r")),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_both_desks_do_the_same(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        assert _outcome(DEEDS[deed], _deployed()) == _outcome(DEEDS[deed], SandboxRecords(records()))


def _outcome(deed: Callable[[Records], Any], desk: Records) -> Any:
    try:
        answered = deed(desk)
    except PayoutRefused:
        answered = "refused"
    kept = ("open_amount", "siu_hold", "notes", "hold_reason", "held_by")
    claims = [desk.claim(claim_id) or {} for claim_id in fixture()["records"]["claim"]]
    return answered, [{name: claim[name] for name in kept if name in claim} for claim in claims]


def _deployed() -> Records:
    client, serializer = boto3.client("dynamodb", region_name="us-east-1"), TypeSerializer()
    keys = [{"AttributeName": name, "KeyType": kind} for name, kind in (("kind", "HASH"), ("id", "RANGE"))]
    types = [{"AttributeName": name, "AttributeType": "S"} for name in ("kind", "id")]
    client.create_table(
        TableName="t", KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST"
    )
    for claim_id, claim in fixture()["records"]["claim"].items():
        item = {"kind": "claim", "id": claim_id, **claim}
        client.put_item(
            TableName="t", Item={name: serializer.serialize(value) for name, value in item.items()}
        )
    return Records(client, "t")
