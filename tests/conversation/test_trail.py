"""Attributes of a request's span about its decisions: enough to explain them, and nothing about people."""

from __future__ import annotations

import json

from fmops.conversation.trail import MOST, kind_of, trail
from fmops.interaction import AuthorizationDecision, GuardrailOutcome, Interaction, TokenUsage, ToolCall
from fmops.telemetry import attributes as names
from fmops.telemetry.prices import prices

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def told(**fields: object) -> Interaction:
    return Interaction(
        **{
            "input": "my card is 4111",
            "output": "noted: 4111",
            "user": "a pseudonym",
            "usage": TokenUsage(input_tokens=1000, output_tokens=10),
            "model_id": MODEL,
            "guardrails": [
                GuardrailOutcome(direction="input", action="allow", duration_ms=12.4),
                GuardrailOutcome(
                    direction="output", action="redact", detector="pii", reason="EMAIL", duration_ms=8.6
                ),
            ],
            "authorization": [
                AuthorizationDecision(
                    action="get_claim",
                    resource='ClaimsDesk::Claim::"C-1001"',
                    decision="ALLOW",
                    reason="permitted",
                    determining_policies=["customer-own-claim", "handler-region-claims"],
                    duration_ms=21.2,
                ),
            ],
            "tool_calls": [ToolCall(name="get_claim", status="success", duration_ms=40)],
            **fields,
        }
    )


def test_each_check_decision_and_call_is_one_entry() -> None:
    found = trail(told())
    assert found[names.GUARDRAIL_CHECKS] == ["input allow - - 12", "output redact pii EMAIL 9"]
    assert found[names.AUTHORIZATION_DECISIONS] == [
        "get_claim Claim ALLOW permitted customer-own-claim,handler-region-claims 21"
    ]
    assert found[names.TOOL_CALLS] == ["get_claim success 40"]


def test_the_cost_is_the_list_price_of_the_model() -> None:
    price = prices().price(MODEL)
    assert price is not None
    assert trail(told())[names.COST_USD] == round((1000 * price.input + 10 * price.output) / 1e6, 8)
    assert names.COST_USD not in trail(told(model_id="a model without a price"))


def test_neither_texts_nor_people_nor_the_ids_of_resources_are_in_it() -> None:
    found = json.dumps(trail(told()))
    for hidden in ("4111", "a pseudonym", "C-1001", "ClaimsDesk"):
        assert hidden not in found


def test_spaces_cannot_break_an_entry() -> None:
    decision = AuthorizationDecision(
        action="get claim",
        resource='R::"a b"',
        decision="DENY",
        reason="",
        determining_policies=["one policy", "two"],
    )
    found = trail(told(authorization=[decision]))
    assert found[names.AUTHORIZATION_DECISIONS] == ["get_claim R DENY - one_policy,two 0"]


def test_a_long_turn_does_not_outgrow_a_span() -> None:
    many = [GuardrailOutcome(direction="output", action="allow")] * (10 * MOST)
    assert len(trail(told(guardrails=many))[names.GUARDRAIL_CHECKS]) == MOST  # type: ignore[arg-type]


def test_the_kind_of_a_resource_is_its_type_alone() -> None:
    assert kind_of('ClaimsDesk::Claim::"C-1"') == "Claim"
    assert kind_of('A::B::Claim::"x::\\"y\\""') == "Claim"
    assert kind_of('Unresolved::""') == "Unresolved"
    assert kind_of("") == ""
