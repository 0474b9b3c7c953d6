"""No id that the model chooses decides whose call runs, whether it runs, or whether its write has been done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from fmops.interaction import Interaction
from tests.authorization.deployed import Assistant, Deployed

pytestmark = pytest.mark.rehearsal

CLAIM = "C-1001"


class Scripted(BaseChatModel):
    """A model that makes the calls of its script, one list per answer, with exactly the ids in it."""

    script: list[list[tuple[str, dict[str, Any], str]]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        calls = self.script.pop(0) if self.script else []
        tool_calls = [{"name": name, "args": arguments, "id": call_id} for name, arguments, call_id in calls]
        answer = AIMessage("" if calls else "Done.", tool_calls=tool_calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


@pytest.fixture(autouse=True)
def _claims(deployed: Deployed) -> Iterator[None]:
    deployed.reset_claims()
    yield


def scripted(deployed: Deployed, *answers: Sequence[tuple[str, dict[str, Any], str]]) -> Assistant:
    return deployed.assistant(model=Scripted(script=[list(each) for each in answers]))


def pay(amount: int, call_id: str = "c0", claim: str = CLAIM) -> tuple[str, dict[str, Any], str]:
    return ("approve_payout", {"claim_id": claim, "amount_minor": amount}, call_id)


def paid(deployed: Deployed, claim: str = CLAIM) -> list[tuple[int, str]]:
    found = deployed.desk.claim(claim)
    assert found
    return [(int(each["amount"]), each["approver"]) for each in found.get("payouts", [])]


def waiting(deployed: Deployed, assistant: Assistant) -> str:
    answer = assistant.ask(deployed.token("amir"))
    (approval,) = answer["approvals"]
    return str(approval["id"])


@pytest.mark.parametrize(
    "again",
    [
        pay(600_000),
        pay(610_000),
        pay(100),
        ("add_claim_note", {"claim_id": CLAIM, "text": "as Sofia"}, "c0"),
        ("escalate_to_siu", {"claim_id": CLAIM, "reason": "as Sofia"}, "c0"),
        pay(600_000, "c1"),
    ],
    ids=["the same call", "a larger payout", "a small payout", "a note", "an escalation", "another id"],
)
def test_an_approval_runs_one_call_once_whatever_id_the_model_gives_the_next(
    deployed: Deployed, again: tuple[str, dict[str, Any], str]
) -> None:
    approval = waiting(deployed, scripted(deployed, [pay(600_000)]))
    resumed = scripted(deployed, [again], [again, pay(600_000)])
    assert resumed.decide(deployed.token("sofia"), approval)[0] == 200
    assert paid(deployed) == [(600_000, "sofia")]
    claim = deployed.desk.claim(CLAIM)
    assert claim
    assert not claim.get("notes")
    assert not claim["siu_hold"]
    record = next(each for each in resumed.sink.records if isinstance(each, Interaction))
    assert [call.status for call in record.tool_calls] == ["success", "denied", "denied", "denied"]
    assert [each.decision for each in record.authorization] == ["ALLOW", "DENY", "DENY", "DENY"]


def test_two_calls_of_one_id_that_wait_are_two_approvals(deployed: Deployed) -> None:
    assistant = scripted(deployed, [pay(600_000), pay(510_000)])
    asked = {each["id"] for each in assistant.ask(deployed.token("amir"))["approvals"]}
    approvals = {
        each["arguments"]["amount_minor"]: each["id"]
        for each in assistant.approvals(deployed.token("sofia"))
        if each["id"] in asked
    }
    assert set(approvals) == {600_000, 510_000}
    assert scripted(deployed).decide(deployed.token("sofia"), approvals[510_000])[0] == 200
    assert paid(deployed) == [(510_000, "sofia")]
    assert scripted(deployed).decide(deployed.token("sofia"), approvals[600_000], "reject")[0] == 200
    assert paid(deployed) == [(510_000, "sofia")]


def test_two_payouts_with_one_call_id_are_told_as_they_were_paid(deployed: Deployed) -> None:
    for second in ([pay(200_000)], [pay(100_000)]):
        deployed.reset_claims()
        answer = scripted(deployed, [pay(100_000), *second]).ask(deployed.token("amir"))
        told = [call["status"] for call in answer["tools"]].count("success")
        assert told == len(paid(deployed)) == 2


def test_payouts_of_one_answer_count_together_against_the_limit(deployed: Deployed) -> None:
    answer = scripted(deployed, [pay(300_000, "a"), pay(300_000, "b"), pay(150_000, "c")]).ask(
        deployed.token("amir")
    )
    assert sorted(call["status"] for call in answer["tools"]) == ["success", "success", "waiting"]
    assert sorted(paid(deployed)) == [(150_000, "amir"), (300_000, "amir")]


def test_payouts_of_one_answer_over_several_model_calls_count_together(deployed: Deployed) -> None:
    answers = [[pay(300_000)], [pay(300_000, "c1")]]
    answer = scripted(deployed, *answers).ask(deployed.token("amir"))
    assert [call["status"] for call in answer["tools"]] == ["success", "waiting"]
    assert paid(deployed) == [(300_000, "amir")]
    # The next answer starts from zero.
    assert scripted(deployed, [pay(300_000)]).ask(deployed.token("amir"))["tools"][0]["status"] == "success"


def test_a_denied_payout_takes_nothing_from_the_limit(deployed: Deployed) -> None:
    answer = scripted(deployed, [pay(9_000_000, "a"), pay(400_000, "b")]).ask(deployed.token("amir"))
    assert sorted(call["status"] for call in answer["tools"]) == ["denied", "success"]
    assert paid(deployed) == [(400_000, "amir")]


def test_a_made_up_tool_name_reaches_neither_client_nor_lake(deployed: Deployed) -> None:
    made_up = "sofia_winter_born_1970_03_02"
    assistant = scripted(deployed, [(made_up, {"x": 1}, "c0")])
    answer = assistant.ask(deployed.token("amir"))
    assert [call["name"] for call in answer["tools"]] == ["_OTHER"]
    record = next(each for each in assistant.sink.records if isinstance(each, Interaction))
    assert made_up not in str(answer)
    assert made_up not in record.model_dump_json()
