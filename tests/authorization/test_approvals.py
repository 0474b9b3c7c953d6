"""A payout above an adjuster's limit waits for a supervisor, survives a restart, and runs exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from fmops.assistant.approvals import OWN
from fmops.authorization import Authorizer
from fmops.conversation.approval_queue import KEEP_SECONDS, ApprovalTable
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
    assert inbox(deployed, assistant, "sofia")[approval]["may_decide"], "it waits again"
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


def test_the_inbox_shows_what_cedar_saw_in_words_and_who_may_decide(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    deployed.desk.hold(CLAIM, "after it was asked for", "ines")
    mine = inbox(deployed, assistant, "amir")[approval]
    assert mine["title"] == "Pay out 6,000.00 EUR on claim C-1001"
    assert mine["facts"] == {
        "Claim": "C-1001",
        "Amount": "6,000.00 EUR",
        "Region": "north",
        "Status": "open",
        "Open amount": "12,000.00 EUR",
        "Asked with a second factor": "yes",
        "On hold with investigators": "no",
    }
    (policy,) = mine["policies"]
    assert policy["name"] == "adjuster-requests-payout"
    assert policy["description"].startswith("What is above an adjuster's limit")
    waited = datetime.fromisoformat(mine["expires_at"]) - datetime.fromisoformat(mine["requested_at"])
    assert waited.total_seconds() == pytest.approx(KEEP_SECONDS, abs=1)
    assert (mine["mine"], mine["may_decide"], mine["why_not"]) == (True, False, OWN)
    assert mine["requested_by"] == "amir"
    assert deployed.subject("amir") not in json.dumps(mine)
    deployed.reset_claims()
    theirs = inbox(deployed, assistant, "sofia")[approval]
    assert (theirs["mine"], theirs["may_decide"], theirs["why_not"]) == (False, True, "")


def test_an_outcome_is_shown_to_the_two_who_took_part_and_to_nobody_else(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    status, told = assistant.decide(deployed.token("sofia"), approval)
    assert status == 200
    for user in ("amir", "sofia"):
        shown = inbox(deployed, assistant, user)[approval]
        assert (shown["status"], shown["decided_by"], shown["may_decide"]) == ("approved", "sofia", False)
        assert shown["answer"] == told["answer"]
        assert shown["decided_at"] >= shown["requested_at"]
        seen = assistant.see(deployed.token(user), approval)[1]
        assert {**shown, **seen} == shown, "the list shows what the call's own address does"
    for user in ("noor", "nils", "carla"):
        assert approval not in inbox(deployed, assistant, user), user


def test_the_count_is_of_what_waits_for_this_person(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    before = {user: waiting(deployed, assistant, user) for user in ("amir", "sofia")}
    approval = request(deployed, assistant)
    assert waiting(deployed, assistant, "sofia") == before["sofia"] + 1
    assert waiting(deployed, assistant, "amir") == before["amir"], "their own request is not theirs to decide"
    assert waiting(deployed, assistant, "noor") == 0, "without a second factor"
    assistant.decide(deployed.token("sofia"), approval, "reject")
    assert waiting(deployed, assistant, "sofia") == before["sofia"]
    assert assistant.request("GET", "/v1/approvals/count").status_code == 401


def test_people_whom_no_policy_could_permit_are_counted_without_a_question(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant = deployed.assistant()
    request(deployed, assistant)
    asked: list[str] = []
    real = Authorizer.decide
    monkeypatch.setattr(
        Authorizer, "decide", lambda self, token, calls: asked.append(token) or real(self, token, calls)
    )
    read: list[str] = []
    undecided = ApprovalTable.undecided
    monkeypatch.setattr(ApprovalTable, "undecided", lambda self: read.append("") or undecided(self))
    assert waiting(deployed, assistant, "carla") == 0
    assert (asked, read) == ([], [])
    waiting(deployed, assistant, "sofia")
    assert (len(asked), len(read)) == (1, 1)


def test_without_the_policies_an_inbox_is_an_error_and_not_empty(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant = deployed.assistant()
    request(deployed, assistant)

    def away(*_: Any) -> Any:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(Authorizer, "_call", away)
    bearer = {"authorization": f"Bearer {deployed.token('sofia')}"}
    answer = assistant.request("GET", "/v1/approvals", headers=bearer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "approvals_unknown")
    assert waiting(deployed, assistant, "sofia") == 0, "nobody is asked to decide what they may not"


def test_what_has_expired_is_gone_even_while_its_item_is_there(deployed: Deployed) -> None:
    assistant = deployed.assistant()
    approval = request(deployed, assistant)
    deployed.cloud.client("dynamodb").update_item(
        TableName=deployed.approvals_table,
        Key={"PK": {"S": "APPROVAL"}, "SK": {"S": approval}},
        UpdateExpression="SET #ttl = :past",
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={":past": {"N": long_ago()}},
    )
    assert approval not in inbox(deployed, assistant, "sofia")
    assert assistant.see(deployed.token("amir"), approval)[0] == 404
    assert assistant.decide(deployed.token("sofia"), approval)[0] == 404
    assert payouts(deployed) == []


def inbox(deployed: Deployed, assistant: Assistant, user: str) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in assistant.approvals(deployed.token(user))}


def waiting(deployed: Deployed, assistant: Assistant, user: str) -> int:
    token = deployed.token(user)
    answer = assistant.request("GET", "/v1/approvals/count", headers={"authorization": f"Bearer {token}"})
    return int(answer.json()["waiting"])
