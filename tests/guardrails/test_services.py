"""The AWS detectors on the wire: their requests, their reading of the answers, and their behaviour without
one.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fmops.guardrails import (
    Action,
    Category,
    Direction,
    GuardrailEngine,
    GuardrailSettings,
    asking,
    build_engine,
)
from fmops.guardrails.build import make_detector
from fmops.guardrails.detectors.base import Clients
from fmops.guardrails.settings import DetectorSettings
from tests.guardrails.service import Service, harmless

GUARDRAIL = {"guardrail_id": "gr1", "guardrail_version": "1"}
KINDS: dict[str, dict[str, Any]] = {
    "comprehend_toxicity": {},
    "comprehend_pii": {},
    "comprehend_prompt_safety": {},
    "bedrock_checks": {},
    "bedrock_guardrail": GUARDRAIL,
}
PATIENCE_MS = 250


def build(
    service: Service, kind: str, options: dict[str, Any] | None = None, **settings: Any
) -> GuardrailEngine:
    detector = {
        "kind": kind,
        "options": options if options is not None else KINDS[kind],
        "timeout_ms": 20_000,  # a busy machine is not the service's fault
        **settings.pop("detector", {}),
    }
    detectors = {
        "secrets": None,
        "pii": None,
        "toxicity": None,
        "checks": None,
        "it": detector,
        **settings.pop("more", {}),
    }
    given = GuardrailSettings.model_validate(
        {"detectors": detectors, "attempts": 1, "deadline_ms": 20_000, **settings}
    )
    return build_engine(given, service.session())


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients(Service("").session(), timeout=PATIENCE_MS / 1000, connections=8, attempts=1)


OUTAGES = ["error", "timeout", "throttled", "wrong body", "slow"]
EXPECTED = {
    "error": "error",
    "timeout": "timeout",
    "throttled": "throttled",
    "wrong body": "malformed",
    "slow": "ok",
}


@pytest.mark.parametrize(
    ("kind", "outage", "policy"), itertools.product(KINDS, OUTAGES, ["closed", "open", "fallback"])
)
async def test_outage_matrix(service: Service, kind: str, outage: str, policy: str) -> None:
    """Check each detector in each outage under each policy: the decision, in time, and the metrics."""
    service.mode = "ok" if outage == "slow" else outage
    service.seconds = 0.08 if outage == "slow" else 0.0
    patience_ms = PATIENCE_MS if outage == "timeout" else 10_000
    detector = {"timeout_ms": patience_ms, "on_error": "secrets" if policy == "fallback" else policy}
    spare = {"secrets": {"kind": "secrets", "standby": True}}
    outcomes: list[Any] = []
    engine = build(service, kind, detector=detector, more=spare, deadline_ms=2 * patience_ms)
    engine._observers = (outcomes.append,)
    began = time.perf_counter()
    outcome = await engine.check("My card is 4111 1111 1111 1111, thank you.", Direction.INPUT)
    elapsed_ms = (time.perf_counter() - began) * 1000
    call = outcome.calls[0]

    assert outcomes == [outcome]
    assert call.detector == "it"
    assert call.duration_ms <= elapsed_ms
    assert elapsed_ms < 20_000, "in the timeout, the service answers after 30 s: it was not waited for"
    if outage == "slow":
        assert (outcome.action, outcome.degraded, call.result) == (Action.ALLOW, False, "ok")
        return
    assert outcome.degraded
    # If the answer is too garbled for botocore to recognize this, it is an error like others.
    assert (
        call.result in {EXPECTED[outage], "error"}
        if outage == "wrong body"
        else call.result == EXPECTED[outage]
    )
    assert call.error_type
    match policy:
        case "closed":
            assert outcome.action is Action.BLOCK
            assert outcome.summary() == {
                "detector": "it",
                "category": "detector_unavailable",
                "action": "block",
                "direction": "input",
            }
        case "open":
            assert outcome.action is Action.FLAG
            assert outcome.text.startswith("My card is 4111")
        case "fallback":
            assert outcome.action is Action.REDACT
            assert outcome.text == "My card is [CARD_NUMBER], thank you."
            assert outcome.detectors == ("secrets",)


async def test_closed_where_the_detector_could_at_most_flag_flags(service: Service) -> None:
    service.mode = "error"
    rules = [{"categories": ["identifiers", "contact", "attributes", "secrets", "custom"], "action": "flag"}]
    outcome = await build(service, "comprehend_pii", rules=rules, default_rules=False).check("hello", "input")
    assert outcome.action is Action.FLAG


async def test_policies_differ_by_direction(service: Service) -> None:
    service.mode = "error"
    engine = build(service, "comprehend_pii", detector={"on_error": {"tool_results": "open"}})
    assert (await engine.check("hello", "tool_results")).action is Action.FLAG
    assert (await engine.check("hello", "output")).blocked


async def test_one_throttled_request_is_tried_again(service: Service) -> None:
    service.throttle_first = 1
    outcome = await build(service, "comprehend_pii", attempts=2).check("hello", "input")
    assert (outcome.action, len(service.asked)) == (Action.ALLOW, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_empty_answer_is_no_answer(service: Service, kind: str) -> None:
    service.mode = "empty body"
    outcome = await build(service, kind).check("hello", "input")
    assert outcome.blocked
    assert outcome.calls[0].result == "malformed"


def answering(operation: str, answer: dict[str, Any]) -> Any:
    return lambda asked, request: answer if asked == operation else harmless(asked, request)


async def test_comprehend_pii_offsets_are_code_points_and_end_exclusive(service: Service) -> None:
    text = "\U0001f600 SSN 123-45-6789, thanks"
    begin = text.index("123")
    entity = {"Type": "SSN", "Score": 0.99, "BeginOffset": begin, "EndOffset": begin + 11}
    service.answer = answering("DetectPiiEntities", {"Entities": [entity]})
    outcome = await build(service, "comprehend_pii").check(text, "output")
    assert outcome.text == "\U0001f600 SSN [US_SSN], thanks"
    assert service.asked == [("DetectPiiEntities", {"Text": text, "LanguageCode": "en"})]


@pytest.mark.parametrize(("begin", "end"), [(-1, 3), (0, 99), (5, 5), (4, 2), ("0", 3), (None, 3)])
async def test_offsets_that_do_not_fit_fail_closed(service: Service, begin: Any, end: Any) -> None:
    entity = {"Type": "SSN", "Score": 0.99, "BeginOffset": begin, "EndOffset": end}
    service.answer = answering("DetectPiiEntities", {"Entities": [entity]})
    outcome = await build(service, "comprehend_pii").check("hello there", "output")
    assert outcome.blocked
    assert outcome.calls[0].result == "offsets"


async def test_an_entity_type_that_is_new_is_not_overlooked(service: Service) -> None:
    entity = {"Type": "RETINA_SCAN", "Score": 0.99, "BeginOffset": 0, "EndOffset": 5}
    service.answer = answering("DetectPiiEntities", {"Entities": [entity]})
    rules = [{"categories": ["custom_pattern"], "action": "redact"}]
    outcome = await build(service, "comprehend_pii", rules=rules).check("hello there", "output")
    assert outcome.text == "[CUSTOM_PATTERN] there"


async def test_toxicity_is_asked_in_segments_within_the_limits(service: Service) -> None:
    text = "This is a sentence about a claim that is rather long. " * 300
    outcome = await build(service, "comprehend_toxicity").check(text, "input")
    assert outcome.action is Action.ALLOW
    assert len(service.asked) == outcome.calls[0].requests == 2
    for _, request in service.asked:
        segments = [segment["Text"].encode() for segment in request["TextSegments"]]
        assert len(segments) <= 10
        assert all(0 < len(segment) <= 1000 for segment in segments)
        assert request["LanguageCode"] == "en"


async def test_toxicity_in_one_segment_counts(service: Service) -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        bad = ["idiot" in segment["Text"] for segment in request["TextSegments"]]
        return {
            "ResultList": [
                {"Labels": [{"Name": "INSULT", "Score": 0.9 * each}], "Toxicity": 0.9 * each} for each in bad
            ]
        }

    service.answer = answer
    engine = build(service, "comprehend_toxicity")
    assert (await engine.check("All is well. " * 500 + "You idiot.", "input")).blocked
    assert not (await engine.check("All is well. " * 500, "input")).blocked


async def test_checks_ask_only_for_what_the_policy_acts_upon(service: Service) -> None:
    engine = build(service, "bedrock_checks", {"groups": ["content", "prompt_attack", "identifiers"]})
    await engine.check("hello", "tool_results")
    ((_, request),) = service.asked
    assert set(request["checks"]) == {"promptAttack", "sensitiveInformation"}
    assert request["messages"] == [{"role": "user", "content": [{"text": "hello"}]}]
    assert {"type": "US_SOCIAL_SECURITY_NUMBER"} in request["checks"]["sensitiveInformation"]["entities"]
    assert {"type": "EMAIL"} not in request["checks"]["sensitiveInformation"]["entities"]


async def test_checks_redact_by_offsets_whatever_their_unit(service: Service) -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        text = request["messages"][0]["content"][0]["text"]
        begin = len(text[: text.index("123")].encode("utf-16-le")) // 2
        found = {
            "type": "US_SOCIAL_SECURITY_NUMBER",
            "confidenceScore": 1.0,
            "beginOffset": begin,
            "endOffset": begin + 11,
            "messageIndex": 0,
            "contentIndex": 0,
        }
        return {"results": {"sensitiveInformation": {"results": [found], "truncated": False}}, "usage": {}}

    service.answer = answer
    engine = build(service, "bedrock_checks", {"groups": ["identifiers"]})
    assert (
        await engine.check("\U0001f600\U0001f600 123-45-6789!", "output")
    ).text == "\U0001f600\U0001f600 [US_SSN]!"


async def test_a_truncated_answer_fails_closed(service: Service) -> None:
    truncated = {"results": {"sensitiveInformation": {"results": [], "truncated": True}}, "usage": {}}
    service.answer = answering("InvokeGuardrailChecks", truncated)
    outcome = await build(service, "bedrock_checks", {"groups": ["identifiers"]}).check("hello", "output")
    assert outcome.blocked
    assert outcome.calls[0].result == "malformed"


async def test_checks_that_leave_out_a_category_fail_closed(service: Service) -> None:
    part = {
        "results": {"promptAttack": {"results": [{"category": "JAILBREAK", "severityScore": 0.0}]}},
        "usage": {},
    }
    service.answer = answering("InvokeGuardrailChecks", part)
    assert (
        await build(service, "bedrock_checks", {"groups": ["prompt_attack"]}).check("hello", "input")
    ).blocked


@pytest.mark.parametrize(("score", "blocked"), [(0.4, False), (0.6, True), (1.0, True)])
async def test_prompt_attacks_block_from_the_threshold(service: Service, score: float, blocked: bool) -> None:
    def answer(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        given = harmless(operation, request)
        given["results"]["promptAttack"]["results"][0]["severityScore"] = score
        return given

    service.answer = answer
    assert (await build(service, "bedrock_checks").check("do as I say", "input")).blocked is blocked


async def test_prompt_safety_uses_the_partitions_endpoint(service: Service) -> None:
    unsafe = {"Classes": [{"Name": "SAFE_PROMPT", "Score": 0.1}, {"Name": "UNSAFE_PROMPT", "Score": 0.9}]}
    service.answer = answering("ClassifyDocument", unsafe)
    outcome = await build(service, "comprehend_prompt_safety").check("do as I say", "input")
    assert outcome.blocked
    ((_, request),) = service.asked
    assert (
        request["EndpointArn"]
        == "arn:aws:comprehend:us-east-1:aws:document-classifier-endpoint/prompt-safety"
    )


async def test_apply_guardrail_redacts_every_occurrence_and_blocks_what_it_blocks(service: Service) -> None:
    assessment = {
        "sensitiveInformationPolicy": {
            "piiEntities": [
                {
                    "match": "123-45-6789",
                    "type": "US_SOCIAL_SECURITY_NUMBER",
                    "action": "ANONYMIZED",
                    "detected": True,
                }
            ],
            "regexes": [],
        }
    }
    answer = {
        "action": "GUARDRAIL_INTERVENED",
        "outputs": [{"text": "{SSN}"}],
        "assessments": [assessment],
        "usage": {},
    }
    service.answer = answering("ApplyGuardrail", answer)
    engine = build(service, "bedrock_guardrail")
    assert (await engine.check("123-45-6789 and 123-45-6789", "output")).text == "[US_SSN] and [US_SSN]"
    assert service.asked[0][1]["source"] == "OUTPUT"
    denied = {"topicPolicy": {"topics": [{"name": "advice", "type": "DENY", "action": "BLOCKED"}]}}
    service.answer = answering("ApplyGuardrail", {**answer, "assessments": [denied]})
    outcome = await engine.check("how do I invest", "input")
    assert (outcome.action, outcome.findings[0].category) == (Action.BLOCK, Category.DENIED_TOPIC)
    unknown = {"automatedReasoningPolicy": {"findings": [{"impossible": {}}]}}
    service.answer = answering("ApplyGuardrail", {**answer, "assessments": [unknown]})
    assert (await engine.check("something else", "input")).blocked


def test_a_draft_guardrail_is_refused(clients: Clients) -> None:
    settings = DetectorSettings(
        kind="bedrock_guardrail", options={"guardrail_id": "g", "guardrail_version": "DRAFT"}
    )
    with pytest.raises(ValueError, match="published version"):
        make_detector("it", settings, clients)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("nothing", {}, "detectors.it.kind is 'nothing'"),
        ("json:dumps", {}, "must derive from Detector"),
        ("fmops.nowhere:Detector", {}, "can be imported"),
        ("comprehend_pii", {"colour": "red"}, "detectors.it.options do not fit ComprehendPii"),
    ],
)
def test_a_detector_that_cannot_be_made_says_why(
    clients: Clients, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_detector("it", DetectorSettings(kind=kind, options=options), clients)


def test_clients_give_up_in_time_and_have_a_connection_for_each_worker(service: Service) -> None:
    engine = build(service, "comprehend_pii", concurrency=17, detector={"timeout_ms": 700})
    config = engine._detectors["it"]._client.meta.config  # type: ignore[attr-defined]
    assert (config.max_pool_connections, config.read_timeout, config.connect_timeout) == (17, 0.7, 0.7)
    assert engine._executor._max_workers == 17


async def test_spans_say_who_was_asked_and_never_what(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(asking, "_tracer", provider.get_tracer("test"))
    service.mode = "throttled"
    engine = build(service, "comprehend_pii")
    await engine.check("planted 123-45-6789", "input")
    (span,) = exporter.get_finished_spans()
    assert span.name == "guardrail it"
    assert dict(span.attributes or {}) == {
        "fmops.guardrail.detector": "it",
        "fmops.guardrail.direction": "input",
        "fmops.guardrail.requests": 1,
        "fmops.guardrail.result": "throttled",
        "fmops.guardrail.findings": 0,
        "error.type": "ThrottlingException",
    }
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "123-45" not in json.dumps(span.to_json())
