"""The claims desk's system of record: claims, customers and what the desk knows of its staff."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from fmops.toolkit.record_table import RecordTable


class PayoutRefused(Exception):  # noqa: N818 - a business outcome, not a fault
    """The claim has too little open, or no longer exists."""


class Records(RecordTable):
    """Store claims and customers. Amounts are integers in minor units."""

    def claim(self, claim_id: str) -> dict[str, Any] | None:
        return self.get("claim", claim_id)

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        return self.get("customer", customer_id)

    def add_note(self, claim_id: str, author: str, text: str) -> None:
        self.update(
            "claim",
            claim_id,
            "SET notes = list_append(if_not_exists(notes, :none), :note)",
            {":none": [], ":note": [{"author": author, "text": text}]},
        )

    def pay_out(self, claim_id: str, amount: int, approver: str, reference: str) -> int:
        """Pay ``amount`` and return the amount that stays open. The same ``reference`` pays only once.

        Raises ``PayoutRefused``.
        """
        values = {":amount": amount, ":none": [], ":zero": 0, ":no": False, ":reference": {reference}}
        values |= {":payout": [{"amount": amount, "approver": approver}], ":once": reference}
        try:
            claim = self.update(
                "claim",
                claim_id,
                "SET open_amount = open_amount - :amount, payouts = list_append(if_not_exists(payouts, :none), :payout)"
                " ADD payout_references :reference",
                values,
                condition="open_amount >= :amount AND :amount > :zero AND siu_hold = :no"
                " AND NOT contains(payout_references, :once)",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            claim = self.claim(claim_id) or {}
            if reference not in claim.get("payout_references", ()):
                raise PayoutRefused(claim_id) from error
        return int(claim["open_amount"])

    def hold(self, claim_id: str, reason: str, author: str) -> None:
        """Put the claim on hold for the special investigations unit."""
        self.update(
            "claim",
            claim_id,
            "SET siu_hold = :yes, hold_reason = :reason, held_by = :author",
            {":yes": True, ":reason": reason, ":author": author},
        )
