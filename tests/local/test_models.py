"""Bedrock, guardrails and Comprehend: the services' contracts, with detectors that a test can predict."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock import inference as bedrock_runtime

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_claim",
                "inputSchema": {"json": {"type": "object", "properties": {"id": {"type": "string"}}}},
            }
        }
    ]
}


@pytest.fixture(autouse=True)
def detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the detectors: a text itself says how toxic it is, how much of an attack, and which personal
    data it holds."""

    def level(text: str, word: str) -> float:
        return 0.9 if word in text else 0.0

    labels = (
        "GRAPHIC",
        "HARASSMENT_OR_ABUSE",
        "HATE_SPEECH",
        "INSULT",
        "PROFANITY",
        "SEXUAL",
        "VIOLENCE_OR_THREAT",
    )

    def find(text: str, language: str = "en") -> list[dict[str, Any]]:
        at = text.find("123-45-6789")
        return [] if at < 0 else [{"type": "SSN", "score": 0.97, "begin": at, "end": at + 11}]

    doubles = {
        "toxicity": {
            "score": lambda text: {
                **{label: level(text, label) for label in labels},
                "TOXICITY": level(text, "toxic"),
            }
        },
        "misconduct": {"score": lambda text: level(text, "MISCONDUCT")},
        "prompt_attack": {
            "score": lambda text: {
                name: level(text, name) for name in ("JAILBREAK", "PROMPT_INJECTION", "PROMPT_LEAKAGE")
            }
        },
        "pii": {"find": find},
        "embeddings": {
            "embed": lambda texts: np.ones((len(texts), 384), np.float32) / np.sqrt(np.float32(384))
        },
    }
    package = types.ModuleType("local.detectors")
    monkeypatch.setitem(sys.modules, "local.detectors", package)
    for name, members in doubles.items():
        module = types.ModuleType(f"local.detectors.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        setattr(package, name, module)


def ask(cloud: Cloud, text: str = "hello", **given: Any) -> dict[str, Any]:
    arguments = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": text}]}], **given}
    answer: dict[str, Any] = cloud.client("bedrock-runtime").converse(**arguments)
    return answer


class TestConverse:
    def test_collects_the_streams_events(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        def events(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
            assert request["toolConfig"] == TOOLS  # documents arrive as they were sent
            yield {"messageStart": {"role": "assistant"}}
            for piece in ("Let me ", "look."):
                yield {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": piece}}}
            yield {"contentBlockStop": {"contentBlockIndex": 0}}
            start = {"toolUse": {"toolUseId": "t1", "name": "get_claim"}}
            yield {"contentBlockStart": {"contentBlockIndex": 1, "start": start}}
            for piece in ('{"id": ', '"C-1"}'):
                yield {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}}}
            yield {"contentBlockStop": {"contentBlockIndex": 1}}
            yield {"messageStop": {"stopReason": "tool_use"}}
            usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
            yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 5}}}

        monkeypatch.setattr(bedrock_runtime, "stream_events", events)
        answer = ask(cloud, toolConfig=TOOLS)
        use = {"toolUse": {"toolUseId": "t1", "name": "get_claim", "input": {"id": "C-1"}}}
        assert answer["output"]["message"] == {
            "role": "assistant",
            "content": [{"text": "Let me look."}, use],
        }
        assert (answer["stopReason"], answer["usage"]["totalTokens"]) == ("tool_use", 7)

    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            ("us.anthropic.claude-haiku-4-6", "identifier is invalid"),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "identifier is invalid"),  # not from us-east-1
            ("anthropic.claude-haiku-4-5-20251001-v1:0", "inference profile"),
            (TITAN, "does not support Converse"),
        ],
    )
    def test_refuses_models_as_the_service_does(self, cloud: Cloud, model: str, reason: str) -> None:
        with pytest.raises(cloud.client("bedrock-runtime").exceptions.ValidationException, match=reason):
            ask(cloud, modelId=model)

    def test_tool_results_must_answer_tool_uses(self, cloud: Cloud) -> None:
        use = {"toolUse": {"toolUseId": "t1", "name": "get_claim", "input": {}}}
        result = {"toolResult": {"toolUseId": "t2", "content": [{"text": "x"}]}}
        messages = [
            {"role": "user", "content": [{"text": "x"}]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        with pytest.raises(ClientError, match="must match"):
            ask(cloud, messages=messages, toolConfig=TOOLS)
        with pytest.raises(ClientError, match="toolConfig field must be defined"):
            ask(cloud, messages=messages)


@pytest.mark.parametrize(("dimensions", "filled"), [(1024, 384), (512, 384), (256, 256)])
def test_embeddings_have_the_asked_dimension_and_unit_length(
    cloud: Cloud, dimensions: int, filled: int
) -> None:
    body = json.dumps({"inputText": "hello", "dimensions": dimensions, "normalize": True})
    answer = json.loads(cloud.client("bedrock-runtime").invoke_model(modelId=TITAN, body=body)["body"].read())
    vector = np.array(answer["embedding"])
    assert (len(vector), np.count_nonzero(vector)) == (dimensions, filled)
    assert np.linalg.norm(vector) == pytest.approx(1)


@pytest.mark.parametrize(
    "body", ['{"inputText": ""}', '{"inputText": "x", "dimensions": 300}', '{"text": "x"}', "no json"]
)
def test_bad_embedding_requests(cloud: Cloud, body: str) -> None:
    with pytest.raises(cloud.client("bedrock-runtime").exceptions.ValidationException):
        cloud.client("bedrock-runtime").invoke_model(modelId=TITAN, body=body)


class TestGuardrails:
    def test_checks_answer_in_steps_and_with_places(self, cloud: Cloud) -> None:
        answer = cloud.client("bedrock-runtime").invoke_guardrail_checks(
            messages=[
                {"role": "system", "content": [{"text": "harmless"}]},
                {
                    "role": "user",
                    "content": [{"text": "HATE_SPEECH and JAILBREAK"}, {"text": "my ssn is 123-45-6789."}],
                },
            ],
            checks={
                "contentFilter": {"categories": [{"category": "HATE"}, {"category": "MISCONDUCT"}]},
                "promptAttack": {"categories": [{"category": "JAILBREAK"}, {"category": "PROMPT_LEAKAGE"}]},
                "sensitiveInformation": {"entities": [{"type": "US_SOCIAL_SECURITY_NUMBER"}]},
            },
        )
        results = answer["results"]
        assert {each["category"]: each["severityScore"] for each in results["contentFilter"]["results"]} == {
            "HATE": 0.8,
            "MISCONDUCT": 0,
        }
        assert [each["severityScore"] for each in results["promptAttack"]["results"]] == [0.8, 0]
        (found,) = results["sensitiveInformation"]["results"]
        assert (found["messageIndex"], found["contentIndex"], found["beginOffset"], found["endOffset"]) == (
            1,
            1,
            10,
            21,
        )
        assert answer["usage"]["promptAttack"]["textUnits"] == 1

    def test_a_guardrail_blocks_masks_and_lets_pass(self, cloud: Cloud) -> None:
        created = cloud.client("bedrock").create_guardrail(
            name="g",
            blockedInputMessaging="not this",
            blockedOutputsMessaging="not that",
            contentPolicyConfig={
                "filtersConfig": [{"type": "INSULTS", "inputStrength": "HIGH", "outputStrength": "NONE"}]
            },
            sensitiveInformationPolicyConfig={
                "piiEntitiesConfig": [{"type": "US_SOCIAL_SECURITY_NUMBER", "action": "ANONYMIZE"}]
            },
        )

        def apply(text: str, source: str = "INPUT") -> dict[str, Any]:
            answer: dict[str, Any] = cloud.client("bedrock-runtime").apply_guardrail(
                guardrailIdentifier=created["guardrailId"],
                guardrailVersion="DRAFT",
                source=source,
                content=[{"text": {"text": text}}],
            )
            return answer

        assert apply("INSULT")["outputs"] == [{"text": "not this"}]
        assert apply("INSULT", "OUTPUT")["action"] == "NONE"
        assert apply("ssn 123-45-6789, yes")["outputs"] == [{"text": "ssn {US_SOCIAL_SECURITY_NUMBER}, yes"}]
        assert apply("fine")["action"] == "NONE"


class TestComprehend:
    def test_answers_per_segment(self, cloud: Cloud) -> None:
        segments = [{"Text": "toxic INSULT"}, {"Text": "fine"}]
        first, second = cloud.client("comprehend").detect_toxic_content(
            TextSegments=segments, LanguageCode="en"
        )["ResultList"]
        assert first["Toxicity"] == pytest.approx(0.9)
        assert {label["Name"] for label in first["Labels"] if label["Score"] > 0.5} == {"INSULT"}
        assert second["Toxicity"] == 0

    def test_personal_data_has_end_exclusive_offsets(self, cloud: Cloud) -> None:
        comprehend, text = cloud.client("comprehend"), "é ssn 123-45-6789!"
        (found,) = comprehend.detect_pii_entities(Text=text, LanguageCode="en")["Entities"]
        assert text[found["BeginOffset"] : found["EndOffset"]] == "123-45-6789"
        assert comprehend.contains_pii_entities(Text=text, LanguageCode="en")["Labels"][0]["Name"] == "SSN"

    def test_prompt_safety_is_a_classifier_endpoint(self, cloud: Cloud) -> None:
        arn = "arn:aws:comprehend:us-east-1:aws:document-classifier-endpoint/prompt-safety"
        classes = cloud.client("comprehend").classify_document(Text="JAILBREAK", EndpointArn=arn)["Classes"]
        assert {each["Name"]: round(each["Score"], 1) for each in classes} == {
            "UNSAFE_PROMPT": 0.9,
            "SAFE_PROMPT": 0.1,
        }

    def test_limits_of_the_service(self, cloud: Cloud) -> None:
        comprehend = cloud.client("comprehend")
        errors = comprehend.exceptions
        with pytest.raises(errors.TextSizeLimitExceededException):
            comprehend.detect_toxic_content(TextSegments=[{"Text": "é" * 513}], LanguageCode="en")
        with pytest.raises(errors.InvalidRequestException):
            comprehend.detect_toxic_content(TextSegments=[{"Text": "x"}] * 11, LanguageCode="en")
        with pytest.raises(errors.UnsupportedLanguageException):
            comprehend.detect_toxic_content(TextSegments=[{"Text": "x"}], LanguageCode="de")
        with pytest.raises(errors.UnsupportedLanguageException):
            comprehend.detect_pii_entities(Text="x", LanguageCode="de")
        with pytest.raises(errors.TextSizeLimitExceededException):
            comprehend.detect_pii_entities(Text="x" * (100 * 1024 + 1), LanguageCode="en")


def test_a_draft_repeats_corrections_and_leaves_the_questions_open(cloud: Cloud) -> None:
    instructions = [{"text": "You draft a document for a knowledge base."}]
    given = json.dumps({"questions": ["Is it covered?"], "corrections": ["It is."], "passages": []})
    answer = ask(cloud, given, system=instructions)["output"]["message"]["content"][0]["text"]
    said = ["# Draft of a document", "", "It is.", "", "## Open questions", "", "- Is it covered?"]
    assert answer.splitlines() == said
    other = ask(cloud, "no JSON", system=instructions)["output"]["message"]["content"][0]["text"]
    assert "Open questions" not in other
