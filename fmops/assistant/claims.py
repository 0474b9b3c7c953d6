"""The claims desk's system of record, on DynamoDB: claims, customers and what the desk knows of its staff."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

_deserializer, _serializer = TypeDeserializer(), TypeSerializer()


class PayoutRefused(Exception):  # noqa: N818 - a business outcome, not a fault
    """The claim has not enough open, or does not exist any more."""


class ClaimsDesk:
    """Reads and writes the table whose key is ``kind`` and ``id``. Amounts are integers in minor units."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, claim_id: str) -> dict[str, Any] | None:
        return self._get("claim", claim_id)

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        return self._get("customer", customer_id)

    def is_suspended(self, subject: str) -> bool:
        """Whether the desk has suspended this person, whatever their token says."""
        person = self._get("staff", subject)
        return bool(person and person.get("suspended"))

    def add_note(self, claim_id: str, author: str, text: str) -> None:
        self._update(
            claim_id,
            "SET notes = list_append(if_not_exists(notes, :none), :note)",
            {":none": [], ":note": [{"author": author, "text": text}]},
            "attribute_exists(id)",
        )

    def pay_out(self, claim_id: str, amount: int, approver: str, reference: str) -> int:
        """Pay ``amount`` and answer what stays open; the same ``reference`` pays once. Raises ``PayoutRefused``."""
        values = {":amount": amount, ":none": [], ":zero": 0, ":no": False, ":reference": {reference}}
        values |= {":payout": [{"amount": amount, "approver": approver}], ":once": reference}
        try:
            answer = self._update(
                claim_id,
                "SET open_amount = open_amount - :amount, payouts = list_append(if_not_exists(payouts, :none), :payout)"
                " ADD payout_references :reference",
                values,
                "attribute_exists(id) AND open_amount >= :amount AND :amount > :zero AND siu_hold = :no"
                " AND NOT contains(payout_references, :once)",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            claim = self.claim(claim_id) or {}
            if reference not in claim.get("payout_references", ()):
                raise PayoutRefused(claim_id) from error
            return int(claim["open_amount"])
        return int(answer["open_amount"])

    def hold(self, claim_id: str, reason: str, author: str) -> None:
        """Put the claim on hold for special investigators."""
        self._update(
            claim_id,
            "SET siu_hold = :yes, hold_reason = :reason, held_by = :author",
            {":yes": True, ":reason": reason, ":author": author},
            "attribute_exists(id)",
        )

    def _get(self, kind: str, item_id: str) -> dict[str, Any] | None:
        key = {"kind": {"S": kind}, "id": {"S": item_id}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return _plain(item) if item else None

    def _update(
        self,
        claim_id: str,
        expression: str,
        values: Mapping[str, Any],
        condition: str,
    ) -> dict[str, Any]:
        answer = self._client.update_item(
            TableName=self._table,
            Key={"kind": {"S": "claim"}, "id": {"S": claim_id}},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues={name: _serializer.serialize(value) for name, value in values.items()},
            ReturnValues="ALL_NEW",
        )
        return _plain(answer["Attributes"])


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _integers(_deserializer.deserialize(value)) for name, value in item.items()}


def _integers(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value
