"""A payout above an adjuster's limit waits for a supervisor, survives a restart, and runs exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fmops.interaction import Interaction
from tests.authorization.deployed import CARD, Assistant, Deployed, long_ago

pytestmark = pytest.mark.rehearsal

CLAIM = "C-1001"
PAYOUT = ("approve_payout", {"claim_id": CLAIM, "amount_minor": 600_000})


@pytest.fixture(autouse=True)
def _claims(deployed: Deployed) -> Iterator[None]:
    deployed.reset_claims()
    yield


def request(deployed: Deployed, assistant: Assistant, **more: Any) -> str:
    """Ask as Amir, and return the id of what waits for approval."""
    answer = assistant.ask(deployed.token("amir"), PAYOUT, **more)
    assert [call["status"] for call in answer["tools"]] == ["waiting"]
    (approval,) = answer["approvals"]
    assert approval["id"] in answer["choices"][0]["message"]["content"]
    return str(approval["id"])


def payouts(deployed: Deployed) -> list[dict[str, Any]]:
    claim = deployed.desk.claim(CLAIM)
    assert claim
    return list(claim.get("payouts", []))


def test_it_waits_survives_a_restart_and_runs_once_as_the_approver(deployed: Deployed) -> None:
    approval = request(deployed, deployed.assistant())
    assert payouts(deployed) == []
    restarted = deployed.assistant()
    status, body = restarted.decide(deployed.token("sofia"), approval)
    assert (status, body["status"], body["decided_by"]) == (200, "approved", "sofia")
    assert "600000" in body["answer"]
    assert [(int(each["amount"]), each["approver"]) for each in payouts(deployed)] == [(600_000, "sofia")]
    assert restarted.decide(deployed.token("sofia"), approval)[0] == 409
    assert restarted.see(deployed.token("amir"), approval)[1]["status"] == "approved"
    assert len(payouts(deployed)) == 1


def test_of_two_approvals_at_once_one_runs(deployed: Deployed) -> None:
    first, second = deployed.assistant(), deployed.assistant()
    approval, token = request(deployed, first), deployed.token("sofia")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda each: each.decide(token, approval)[0], (first, second)))
    assert 200 in answers
    assert len(payouts(deployed)) == 1


def test_nobody_else_sees_or_decides_it(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    for user in ("carla", "ben", "noor", "otto", "ines", "sam"):
        assert assistant.see(deployed.token(user), approval)[0] == 404, user
        assert assistant.decide(deployed.token(user), approval)[0] == 404, user
        assert approval not in [each["id"] for each in assistant.approvals(deployed.token(user))], user
    for user in ("amir", "sofia"):
        assert approval in [each["id"] for each in assistant.approvals(deployed.token(user))], user
    assert payouts(deployed) == []


def test_approving_ones_own_is_denied_and_on_record(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    status, body = assistant.decide(deployed.token("amir"), approval)
    assert (status, body["error"]["code"]) == (403, "approval_not_permitted")
    assert payouts(deployed) == []
    asked, tried = (record for record in assistant.sink.records if isinstance(record, Interaction))
    assert [(each.reason, each.approval_id) for each in asked.authorization] == [("needs_approval", approval)]
    assert asked.authorization[0].determining_policies == ["adjuster-requests-payout"]
    assert tried.authorization[0].determining_policies == ["forbid-approving-own-request"]
    assert tried.authorization[0].approval_id == approval


def test_a_rejected_call_does_not_run(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    status, body = assistant.decide(deployed.token("sofia"), approval, "reject")
    assert (status, body["status"]) == (200, "rejected")
    assert assistant.decide(deployed.token("sofia"), approval)[0] == 409
    assert payouts(deployed) == []


def test_the_facts_of_the_approval_count_not_those_of_the_request(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    deployed.desk.hold(CLAIM, "a second thought", "ines")
    assert assistant.decide(deployed.token("sofia"), approval)[0] == 404
    assert payouts(deployed) == []


@pytest.mark.parametrize("crashed", ["before the call", "after the call"])
def test_an_approval_whose_process_died_is_run_again_and_pays_once(deployed: Deployed, crashed: str) -> None:
    assistant, token = deployed.assistant(), deployed.token("sofia")
    approval = request(deployed, assistant)
    if crashed == "after the call":
        assert assistant.decide(token, approval)[0] == 200
    table = deployed.cloud.client("dynamodb")
    key = {"PK": {"S": "APPROVAL"}, "SK": {"S": approval}}
    item = table.get_item(TableName=deployed.approvals_table, Key=key)["Item"]
    call = {**json.loads(item["call"]["S"]), "status": "running", "decided_by": "", "decided_by_name": ""}
    running = {"call": {"S": json.dumps(call)}, "status": {"S": "running"}, "claimed_at": {"N": long_ago()}}
    table.put_item(TableName=deployed.approvals_table, Item={**item, **running})
    assert deployed.assistant().decide(token, approval)[0] == 200
    assert len(payouts(deployed)) == 1


def test_other_calls_of_the_turn_run_once_and_as_the_requester(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    note = ("add_claim_note", {"claim_id": CLAIM, "text": "asked for approval"})
    larger = ("approve_payout", {"claim_id": CLAIM, "amount_minor": 510_000})
    answer = assistant.ask(deployed.token("amir"), PAYOUT, note, larger)
    assert sorted(call["status"] for call in answer["tools"]) == ["success", "waiting", "waiting"]
    for approval in answer["approvals"]:
        assert deployed.assistant().decide(deployed.token("sofia"), approval["id"])[0] == 200
    assert sorted(int(each["amount"]) for each in payouts(deployed)) == [510_000, 600_000]
    claim = deployed.desk.claim(CLAIM)
    assert claim
    assert [(each["author"], each["text"]) for each in claim["notes"]] == [("amir", "asked for approval")]


def test_what_is_kept_is_redacted_and_ordinary_turns_are_not_kept(deployed: Deployed) -> None:
    def stored() -> str:
        items = deployed.cloud.client("dynamodb").scan(TableName=deployed.approvals_table)["Items"]
        return str(items)

    assistant, before = deployed.assistant(), stored()
    assistant.ask(deployed.token("amir"), ("get_claim", {"claim_id": CLAIM}))
    assert stored() == before
    request(deployed, assistant, say=f"My card is {CARD}.")
    assert len(stored()) > len(before)
    assert CARD not in stored()
    assert deployed.token("amir") not in stored()


def test_an_unknown_approval_and_a_wrong_body_are_refused(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    assert assistant.decide(deployed.token("sofia"), "apr-nothing")[0] == 404
    assert assistant.decide(deployed.token("sofia"), "apr-nothing", "maybe")[0] == 400
    assert assistant.request("GET", "/v1/approvals").status_code == 401
