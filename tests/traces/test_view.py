"""A trace is told in plain language, to each person no more than they may see, and never with content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmops.traces.spans import READ, SHOWN, Trace, trace_of
from fmops.traces.view import Check, Permission, view
from tests.traces.traces import request, segment

SECRET = "my card is 4111 1111 1111 1111"
CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.description",
    "gen_ai.conversation.id",
    "gen_ai.workflow.nodes",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "exception.message",
    "db.statement",
    "db.query.text",
    "http.url",
    "url.full",
    "client.address",
    "enduser.id",
    "session.id",
    "otel.resource.host.name",
    "anything.at.all",
)


def told(*documents: dict[str, Any]) -> Any:
    return view(trace_of("t", documents))


def test_the_story_says_what_happened_in_order() -> None:
    assert told(*request("0" * 32, "me")).story == [
        "Two checks of the question passed.",
        "Cedar permitted `get_claim` on a claim by the policy `customer-own-claim`.",
        "Cedar denied `approve_payout` on a claim: no policy permits it.",
        "The search of the knowledge base found four documents; three may be shown to this person.",
        "The tool `get_claim` was called once and succeeded.",
        "The tool `approve_payout` was called once but was not allowed to run.",
        "The detector `pii` redacted the answer (email).",
        "The model `amazon.nova-lite-v1:0` was called once: it read 1,200 tokens and wrote 80, for about US$0.0016.",
        "The answer ended normally after 1.5 s.",
    ]


def test_decisions_and_totals() -> None:
    shown = told(*request("0" * 32, "me"))
    assert shown.totals.model_dump() == {
        "input_tokens": 1200, "output_tokens": 80, "cost_usd": 0.0016, "model_calls": 1, "guardrail_checks": 3,
        "decisions": 2, "tool_calls": 2,
    }  # fmt: skip
    first, redacted, permitted, denied = shown.decisions
    assert isinstance(first, Check)
    assert (first.direction, first.action, first.count, first.duration_ms) == ("input", "allow", 2, 12)
    assert isinstance(redacted, Check)
    assert (redacted.detector, redacted.reason) == ("pii", "EMAIL")
    assert isinstance(permitted, Permission)
    assert (permitted.action, permitted.resource_type, permitted.policies) == (
        "get_claim", "Claim", ["customer-own-claim"],
    )  # fmt: skip
    assert isinstance(denied, Permission)
    assert (denied.decision, denied.reason, denied.policies) == ("DENY", "not_permitted", [])


def test_each_span_has_a_kind_and_a_sentence() -> None:
    kinds = {span.name: (span.kind, span.summary) for span in told(*request("0" * 32, "me")).spans}
    assert kinds == {
        "assistant": ("request", "The answer ended normally after 1.5 s."),
        "guardrail pii": ("guardrail", "The check of the question by `pii` found nothing."),
        "authorize": ("authorization", "Cedar permitted `get_claim` by the policy `customer-own-claim`."),
        "execute_tool get_claim": ("tool", "The tool `get_claim` ran for 500 ms."),
        "retrieval policy-documents": (
            "retrieval",
            "The search of the knowledge base found four documents; three may be shown to this person.",
        ),
        "model.chat": ("model", "The model `amazon.nova-lite-v1:0` read 1,200 tokens and wrote 80."),
        "capture": ("other", "The interaction was recorded in 500 ms while nobody waited for it."),
    }


def test_nothing_that_was_said_is_ever_shown() -> None:
    """A secret under every name, as annotation and as metadata, as a text and in a list, and beside attributes."""
    root, *parts = request("0" * 32, "me")
    names = [*READ, *CONTENT]
    planted = [
        segment("0" * 32, "b" * 16, "hostile", parent=root["id"], metadata=dict.fromkeys(names, SECRET)),
        segment("0" * 32, "c" * 16, "hostile", parent=root["id"], annotations=dict.fromkeys(names, SECRET)),
        segment("0" * 32, "d" * 16, "hostile", parent=root["id"], metadata={each: [SECRET] for each in names}),
        segment(
            "0" * 32, "e" * 16, SECRET, parent=root["id"], fault=True, user=SECRET,
            http={"request": {"url": SECRET, "user_agent": SECRET}, "response": {"status": SECRET}},
            cause={"exceptions": [{"message": SECRET, "type": SECRET}]}, sql={"sanitized_query": SECRET},
            aws={"operation": SECRET, "request_id": SECRET},
        ),
    ]  # fmt: skip
    lists = {
        f"fmops.{kind}": [f"{SECRET} {SECRET}"]
        for kind in ("guardrail.checks", "authorization.decisions", "tool.calls")
    }
    planted.append(segment("0" * 32, "f" * 16, "assistant", metadata={"user.hash": "me", **lists}))
    shown = told(root, *parts, *planted)
    assert len(shown.spans) == 12
    assert "4111" not in shown.model_dump_json()
    assert "card" not in shown.model_dump_json()


def test_only_known_attributes_are_shown() -> None:
    every = dict.fromkeys((*READ, *CONTENT), "word")
    (span,) = told(segment("0" * 32, "a" * 16, "assistant", metadata=every)).spans
    assert set(span.details) <= set(SHOWN)
    assert "user.hash" not in span.details
    assert "fmops.guardrail.checks" not in span.details


def test_of_an_arn_only_the_name_is_shown() -> None:
    arn = "arn:aws:bedrock:eu-central-1:111122223333:application-inference-profile/desk"
    documents = request("0" * 32, "me")
    documents[5]["metadata"]["default"]["gen_ai.request.model"] = arn
    shown = told(*documents)
    assert "111122223333" not in shown.model_dump_json()
    assert any("The model `desk` was called once" in sentence for sentence in shown.story)


def test_annotations_whose_dots_were_replaced_are_known() -> None:
    annotations = {"fmops_interaction_id": "int-1", "user_hash": "me", "gen_ai_usage_input_tokens": 5}
    trace = trace_of("t", [segment("0" * 32, "a" * 16, "assistant", annotations=annotations)])
    assert [span.span_id for span in trace.requests] == ["a" * 16]
    assert view(trace).spans[0].details == {"fmops.interaction.id": "int-1", "gen_ai.usage.input_tokens": 5}


def seen(trace: Trace, user: str) -> set[str]:
    return {span.span_id for span in trace.of(user).spans}


def test_whoever_continues_anothers_trace_sees_only_their_own_part() -> None:
    """Anyone may send a traceparent with another's trace id, and with a span of theirs as the parent."""
    victim, thief = request("0" * 32, "victim"), request("0" * 32, "thief", root="9" * 16)
    for parent in ("", victim[0]["id"], victim[3]["id"]):
        thief[0]["parent_id"] = parent
        trace = trace_of("t", [*victim, *thief])
        assert seen(trace, "victim") == {each["id"] for each in victim}
        assert seen(trace, "thief") == {each["id"] for each in thief}
        assert seen(trace, "stranger") == set()
        assert seen(trace, "") == set()


def test_spans_in_a_circle_end() -> None:
    one = segment("0" * 32, "a" * 16, "one", parent="b" * 16, metadata={"user.hash": "me"})
    other = segment("0" * 32, "b" * 16, "other", parent="a" * 16)
    trace = trace_of("t", [one, other])
    assert seen(trace, "me") == {"a" * 16, "b" * 16}
    assert len(view(trace).spans) == 2


def test_a_trace_is_complete_once_the_request_and_all_parents_are_there() -> None:
    root, *parts = request("0" * 32, "me")
    assert told(root, *parts).complete
    assert not told(*parts).complete
    below = segment("0" * 32, "b" * 16, "below", parent="c" * 16)
    assert not told(root, *parts, below).complete
    assert told({**root, "parent_id": "9" * 16}, *parts).complete, "a load balancer's span never comes"
    assert not told({**root, "in_progress": True}, *parts).complete


@pytest.mark.parametrize(
    ("decision", "sentence"),
    [
        (
            "pay Claim DENY needs_approval ask 3",
            "Cedar did not permit `pay` on a claim, but by the policy `ask` it may wait for a person to approve it.",
        ),
        (
            "pay Claim DENY forbidden no-hold,no-mfa 3",
            "Cedar denied `pay` on a claim by the policies `no-hold` and `no-mfa`.",
        ),
        ("pay Claim DENY unavailable - 3", "Cedar denied `pay` on a claim: Verified Permissions did not answer."),
        ("pay - ALLOW permitted - 3", "Cedar permitted `pay`."),
        (
            "_OTHER Unresolved DENY invalid_arguments - 0",
            "Cedar denied `_OTHER` on an unresolved: its arguments cannot be authorized.",
        ),
    ],
)  # fmt: skip
def test_decisions_in_words(decision: str, sentence: str) -> None:
    shown = told(*request("0" * 32, "me", **{"fmops.authorization.decisions": [decision]}))
    assert sentence in shown.story


@pytest.mark.parametrize(
    ("name", "attributes", "sentence"),
    [
        ("capture", {"error.type": "Timeout"},
         "The interaction was recorded in 500 ms while nobody waited for it, without an embedding (`Timeout`)."),
        ("execute_tool pay", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay",
                              "error.type": "KeyError"},
         "The tool `pay` ran for 500 ms. It failed: `KeyError`."),
        ("guardrail pii", {"fmops.guardrail.detector": "pii", "fmops.guardrail.direction": "output",
                           "fmops.guardrail.result": "timeout", "error.type": "TimeoutError"},
         "The check of the answer by `pii` gave no answer (timeout)."),
        ("invoke_agent desk", {"gen_ai.operation.name": "invoke_agent"}, "The agent worked for 500 ms."),
    ],
)  # fmt: skip
def test_steps_in_words(name: str, attributes: dict[str, Any], sentence: str) -> None:
    (span,) = told(segment("0" * 32, "b" * 16, name, parent="a" * 16, metadata=attributes)).spans
    assert span.summary == sentence


def test_many_equal_decisions_are_one() -> None:
    many = ["read_document Document ALLOW permitted documents-public 2"] * 30
    shown = told(*request("0" * 32, "me", **{"fmops.authorization.decisions": many}))
    (one,) = [each for each in shown.decisions if isinstance(each, Permission)]
    assert (one.count, shown.totals.decisions) == (30, 30)
    assert (
        one.sentence
        == "Cedar permitted `read_document` on a document 30 times by the policy `documents-public`."
    )


@pytest.mark.parametrize(
    ("finish", "sentence"),
    [
        ("content_filter", "A guardrail stopped the answer after 1.5 s."),
        ("error", "The answer failed after 1.5 s."),
        ("client_disconnect", "The answer was cut short because the person left after 1.5 s."),
        ("budget_exceeded", "A budget was spent, so the answer was refused or cut after 1.5 s."),
    ],
)
def test_endings_in_words(finish: str, sentence: str) -> None:
    assert told(*request("0" * 32, "me", **{"fmops.interaction.finish_reason": finish})).story[-1] == sentence


def test_without_the_request_tokens_come_from_the_models_calls() -> None:
    _, *parts = request("0" * 32, "me")
    totals = told(*parts).totals
    assert (totals.input_tokens, totals.output_tokens, totals.cost_usd) == (1200, 80, None)


def test_the_view_is_json() -> None:
    assert json.loads(told(*request("0" * 32, "me")).model_dump_json())["spans"][0]["start_ms"] == 0
