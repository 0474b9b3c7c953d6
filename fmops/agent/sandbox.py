"""The claims desk for evaluations, experiments and the playground: the same rules, with records in memory."""

from __future__ import annotations

from fmops.agent.records import PayoutRefused, Records
from fmops.toolkit.record_table import RecordsInMemory


class SandboxRecords(RecordsInMemory, Records):
    """Records for one case, so that no case sees another's changes."""

    def add_note(self, claim_id: str, author: str, text: str) -> None:
        self._records["claim"][claim_id].setdefault("notes", []).append({"author": author, "text": text})

    def pay_out(self, claim_id: str, amount: int, approver: str, reference: str) -> int:  # noqa: ARG002
        claim = self._records["claim"].get(claim_id, {})
        paid: list[str] = claim.setdefault("payout_references", [])
        if reference in paid:
            return int(claim["open_amount"])
        if amount <= 0 or claim.get("open_amount", 0) < amount or claim.get("siu_hold", False):
            raise PayoutRefused(claim_id)
        paid.append(reference)
        claim["open_amount"] -= amount
        return int(claim["open_amount"])

    def hold(self, claim_id: str, reason: str, author: str) -> None:
        self._records["claim"][claim_id] |= {"siu_hold": True, "hold_reason": reason, "held_by": author}
