"""The telemetry of a whole conversation: spans of every layer, conventional names, and no content."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from fmops.agent import NAME, PROMPT
from tests.telemetry.emitting import SECRETS

AGENT = NAME.replace("-", "_")
ROOT = Path(__file__).parents[2]
OURS = re.compile(r"^(fmops\.[a-z_.]+|session\.id|user\.hash|error\.type)$")
STANDARD = re.compile(r"^(http|url|server|client|network|user_agent|otel|error)\.")
CONVENTIONS = {
    value
    for name, value in vars(gen_ai_attributes).items()
    if name.startswith("GEN_AI_") and isinstance(value, str)
} | {"gen_ai.provider.name", "gen_ai.workflow.name", "gen_ai.agent.version"}
BEYOND = {
    "openllmetry": {
        "gen_ai.task.": "steps of LangGraph, for which the conventions have no name",
        "gen_ai.workflow.": "edges and nodes of the graph",
        "gen_ai.usage.total_tokens": "a sum that older dashboards of OpenLLMetry's users read",
        "traceloop.": "Traceloop's own names, which its users' tools read",
    },
    "otel": {},
}
"""Attributes that an instrumentor adds to the conventions: we cannot rename them, and nothing of ours reads
them.
"""


@dataclass(frozen=True)
class Emitted:
    instrumentor: str
    spans: list[dict[str, Any]]
    content_spans: list[dict[str, Any]]
    metrics: dict[str, Any]
    captured: list[dict[str, Any]]
    log: str

    def names(self, trace_id: str) -> list[str]:
        return [span["name"] for span in self.spans if span["context"]["trace_id"] == trace_id]


@pytest.fixture(scope="module", params=["openllmetry", "otel"])
def emitted(request: pytest.FixtureRequest) -> Emitted:
    return emit(request.param)


@pytest.fixture(scope="module", params=["openllmetry", "otel"])
def emitted_with_content(request: pytest.FixtureRequest) -> Emitted:
    return emit(request.param, "content")


def emit(instrumentor: str, *mode: str) -> Emitted:
    command = [sys.executable, "-W", "ignore", "-m", "tests.telemetry.emitting", instrumentor, *mode]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return Emitted(instrumentor, **json.loads(ended.stdout), log=ended.stderr)


def test_a_requests_span_says_what_was_decided(emitted: Emitted) -> None:
    first = next(span["attributes"] for span in emitted.spans if "fmops.tool.calls" in span["attributes"])
    record = emitted.captured[0]
    assert [call.rpartition(" ")[0] for call in first["fmops.tool.calls"]] == [
        "look_up success",
        "delete denied",
    ]
    assert [each.rpartition(" ")[0] for each in first["fmops.authorization.decisions"]] == [
        "look_up R ALLOW permitted -",
        "delete R DENY forbidden p1",
    ]
    assert len(first["fmops.guardrail.checks"]) == len(record["guardrails"])
    assert all(each.split(" ")[1] == "allow" for each in first["fmops.guardrail.checks"])
    assert first["fmops.usage.input_tokens"] == record["usage"]["input_tokens"]


def test_no_content_is_in_spans_metrics_or_logs(emitted: Emitted) -> None:
    captured = json.dumps(emitted.captured)
    for secret in ("question", "answer", "comment"):
        assert SECRETS[secret] in captured, "the conversation did not hold what is looked for"
    instructions = [line for line in PROMPT.read_text().splitlines() if len(line) > 40]
    assert instructions
    for where in (json.dumps(emitted.spans), json.dumps(emitted.metrics), emitted.log):
        for text in (*SECRETS.values(), *instructions, "grumblefish", "subject-1", "carla"):
            assert text not in where


def test_content_goes_into_traces_of_its_own_and_nowhere_else(emitted_with_content: Emitted) -> None:
    whole = json.dumps(emitted_with_content.content_spans)
    for secret in ("question", "arguments", "answer"):
        assert SECRETS[secret] in whole
    for where in (
        json.dumps(emitted_with_content.spans),
        json.dumps(emitted_with_content.metrics),
        emitted_with_content.log,
    ):
        for text in SECRETS.values():
            assert text not in where
    (root,) = (
        span
        for span in emitted_with_content.content_spans
        if span["attributes"].get("fmops.interaction.id")
        == emitted_with_content.captured[0]["interaction_id"]
    )
    assert SECRETS["question"] in root["attributes"]["gen_ai.input.messages"]
    assert SECRETS["answer"] in root["attributes"]["gen_ai.output.messages"]


def test_without_the_setting_no_trace_has_content(emitted: Emitted) -> None:
    assert emitted.content_spans == []


def test_a_request_is_one_trace_with_a_span_of_every_layer(emitted: Emitted) -> None:
    first = emitted.captured[0]
    (root,) = (
        span
        for span in emitted.spans
        if span["attributes"].get("fmops.interaction.id") == first["interaction_id"]
    )
    assert root["kind"] == "SpanKind.SERVER"
    assert root["parent_id"] is None
    assert root["context"]["trace_id"] == f"0x{first['trace_id']}"
    assert root["attributes"]["user.hash"] == first["user"]
    assert root["attributes"]["session.id"] == first["session_id"]
    names = emitted.names(root["context"]["trace_id"])
    for layer in ("guardrail words", "execute_tool look_up", "capture"):
        assert layer in names
    assert sum(f" {AGENT}" in name and "invoke_agent" in name for name in names) == 1
    assert sum(name.endswith("chat") or name.startswith("chat ") for name in names) == 3


def test_errors_have_their_type_and_no_text(emitted: Emitted) -> None:
    roots = [span for span in emitted.spans if span["kind"] == "SpanKind.SERVER"]
    failed = [span for span in roots if span["status"]["status_code"] == "ERROR"]
    assert len(failed) == 2
    assert {span["attributes"]["error.type"] for span in failed} == {
        "500",
        "RuntimeError",
    }  # the status if that is enough, as in the HTTP conventions
    assert all("description" not in span["status"] for span in emitted.spans)


def test_attributes_are_of_the_conventions_or_ours(emitted: Emitted) -> None:
    beyond = BEYOND[emitted.instrumentor]
    unknown = {
        name
        for span in emitted.spans
        for name in span["attributes"]
        if name not in CONVENTIONS
        and not OURS.match(name)
        and not STANDARD.match(name)
        and not any(name.startswith(prefix) for prefix in beyond)
    }
    assert unknown == set()


def test_labels_of_metrics_are_bounded(emitted: Emitted) -> None:
    labels: dict[str, set[str]] = {}
    for resource in emitted.metrics["resource_metrics"]:
        for scope in resource["scope_metrics"]:
            for metric in scope["metrics"]:
                for point in metric["data"]["data_points"]:
                    for name, value in point["attributes"].items():
                        labels.setdefault(name, set()).add(str(value))
    identifiers = {
        str(record[name])
        for record in emitted.captured
        for name in ("interaction_id", "trace_id", "session_id", "user")
        if record.get(name)
    }
    assert identifiers
    assert not identifiers & {value for values in labels.values() for value in values}
    assert not {"user.hash", "session.id", "fmops.interaction.id"} & labels.keys()
