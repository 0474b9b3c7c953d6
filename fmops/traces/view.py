"""A trace as its reader sees it: spans with a sentence each, decisions, totals, and the story in plain language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from fmops.telemetry import attributes as names
from fmops.traces import wording
from fmops.traces.spans import Span, Trace, Value

Kind = Literal["request", "model", "guardrail", "authorization", "tool", "retrieval", "aws", "other"]
OPERATIONS: Mapping[str, Kind] = {
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "execute_tool": "tool",
    "retrieval": "retrieval",
}


class SpanView(BaseModel):
    """A span of the waterfall. Times are in milliseconds after the trace's start."""

    span_id: str
    parent_id: str
    name: str
    kind: Kind
    start_ms: float
    duration_ms: float
    error: bool
    summary: str
    details: dict[str, Value]


class Check(BaseModel):
    """A decision of the guardrails, and how often it was made."""

    kind: Literal["guardrail"] = "guardrail"
    direction: str
    action: str
    detector: str
    reason: str
    duration_ms: float
    count: int = 1
    sentence: str = ""


class Permission(BaseModel):
    """A decision of Verified Permissions, and how often it was made. Of the resource, only the type is known."""

    kind: Literal["authorization"] = "authorization"
    action: str
    resource_type: str
    decision: str
    reason: str
    policies: list[str]
    duration_ms: float
    count: int = 1
    sentence: str = ""


class Totals(BaseModel):
    """Sums over the trace. ``cost_usd`` is None for a model without a known price."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    model_calls: int = 0
    guardrail_checks: int = 0
    decisions: int = 0
    tool_calls: int = 0


class TraceView(BaseModel):
    """A trace without content, ready to be shown."""

    trace_id: str
    interaction_id: str
    started_at: datetime
    duration_ms: float
    complete: bool
    console_url: str
    story: list[str]
    spans: list[SpanView]
    decisions: list[Check | Permission]
    totals: Totals


def view(trace: Trace, *, console_url: str = "") -> TraceView:
    """Return the view of a trace that has spans."""
    start = min(span.start for span in trace.spans)
    spans = [_span(span, start) for span in trace.spans]
    checks, permissions, calls = _checks(trace), _permissions(trace), _calls(trace)
    totals = _totals(trace, spans)
    totals.guardrail_checks = sum(each.count for each in checks)
    totals.decisions = sum(each.count for each in permissions)
    totals.tool_calls = sum(calls.values())
    return TraceView(
        trace_id=trace.trace_id,
        interaction_id=next((str(each.shown.get(names.INTERACTION_ID, "")) for each in trace.requests), ""),
        started_at=datetime.fromtimestamp(start, UTC),
        duration_ms=round(1000 * (max(span.end for span in trace.spans) - start), 3),
        complete=trace.complete,
        console_url=console_url,
        story=_story(trace, checks, permissions, calls, totals),
        spans=spans,
        decisions=[*checks, *permissions],
        totals=totals,
    )


def kind_of(span: Span) -> Kind:
    """Return the kind of work that a span stands for."""
    operation = OPERATIONS.get(str(span.attributes.get(names.GEN_AI_OPERATION, "")))
    if operation:
        return operation
    if names.GUARDRAIL_DETECTOR in span.attributes:
        return "guardrail"
    if names.AUTHORIZATION_ACTION in span.attributes:
        return "authorization"
    if span.user or "http.route" in span.attributes:
        return "request"
    return "aws" if span.namespace == "aws" else "other"


def _span(span: Span, start: float) -> SpanView:
    kind = kind_of(span)
    return SpanView(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        kind=kind,
        start_ms=round(1000 * (span.start - start), 3),
        duration_ms=round(1000 * (span.end - span.start), 3),
        error=span.error,
        summary=wording.of_span(kind, span),
        details=span.shown,
    )


def _checks(trace: Trace) -> list[Check]:
    """Return the guardrails' decisions, equal ones together with the longest time."""
    found: dict[tuple[str, ...], Check] = {}
    for *key, took in _entries(trace, names.GUARDRAIL_CHECKS, 5):
        direction, action, detector, reason = key
        made = found.setdefault(
            tuple(key),
            Check(
                direction=direction, action=action, detector=detector, reason=reason, duration_ms=0, count=0
            ),
        )
        made.count += 1
        made.duration_ms = max(made.duration_ms, _number(took))
    for made in found.values():
        made.sentence = wording.of_check(made.direction, made.action, made.detector, made.reason, made.count)
    return list(found.values())


def _permissions(trace: Trace) -> list[Permission]:
    """Return the decisions about calls, equal ones together with the longest time."""
    found: dict[tuple[str, ...], Permission] = {}
    for *key, took in _entries(trace, names.AUTHORIZATION_DECISIONS, 6):
        action, resource, decision, reason, policies = key
        made = found.setdefault(
            tuple(key),
            Permission(
                action=action,
                resource_type=resource,
                decision=decision,
                reason=reason,
                policies=[each for each in policies.split(",") if each],
                duration_ms=0,
                count=0,
            ),
        )
        made.count += 1
        made.duration_ms = max(made.duration_ms, _number(took))
    for made in found.values():
        made.sentence = wording.of_permission(
            made.action, made.resource_type, made.decision, made.reason, made.policies, made.count
        )
    return list(found.values())


def _calls(trace: Trace) -> Counter[tuple[str, str]]:
    """Return how often each tool was called, with each outcome."""
    return Counter((name, status) for name, status, _ in _entries(trace, names.TOOL_CALLS, 3))


def _entries(trace: Trace, name: str, length: int) -> list[list[str]]:
    """Return the entries of a request's list, with empty words where there was nothing to say."""
    split = [entry.split(" ") for span in trace.requests for entry in span.words(name)]
    return [["" if word == "-" else word for word in words] for words in split if len(words) == length]


def _totals(trace: Trace, spans: Sequence[SpanView]) -> Totals:
    """Return tokens, cost and model calls: as the requests say, or else as their model calls do."""
    models = [span for span, shown in zip(trace.spans, spans, strict=True) if shown.kind == "model"]
    said = [span for span in trace.requests if names.USAGE_INPUT_TOKENS in span.attributes]
    of = said or models
    keys = (
        (names.USAGE_INPUT_TOKENS, names.USAGE_OUTPUT_TOKENS)
        if said
        else (names.GEN_AI_INPUT_TOKENS, names.GEN_AI_OUTPUT_TOKENS)
    )
    costs = [span.number(names.COST_USD) for span in trace.requests if names.COST_USD in span.attributes]
    return Totals(
        input_tokens=int(sum(span.number(keys[0]) for span in of)),
        output_tokens=int(sum(span.number(keys[1]) for span in of)),
        cost_usd=round(sum(costs), 8) if costs else None,
        model_calls=len(models),
    )


def _story(
    trace: Trace,
    checks: Sequence[Check],
    permissions: Sequence[Permission],
    calls: Mapping[tuple[str, str], int],
    totals: Totals,
) -> list[str]:
    """Return what happened, in the order in which an answer comes about."""
    first = [each.sentence for each in checks if each.direction == "input"]
    last = [each.sentence for each in checks if each.direction == "output"]
    between = [each.sentence for each in checks if each.direction not in ("input", "output")]
    searches = [wording.of_span("retrieval", span) for span in trace.spans if kind_of(span) == "retrieval"]
    tools = [wording.of_call(name, status, count) for (name, status), count in calls.items()]
    models = {
        str(span.shown.get(names.GEN_AI_REQUEST_MODEL, ""))
        for span in trace.spans
        if kind_of(span) == "model"
    }
    spent = wording.of_spending(
        totals.model_calls, models, totals.input_tokens, totals.output_tokens, totals.cost_usd
    )
    endings = [wording.of_span("request", span) for span in trace.requests]
    allowed = [each.sentence for each in permissions]
    told = [*first, *allowed, *searches, *tools, *between, *last, *([spent] if spent else []), *endings]
    return list(dict.fromkeys(told))


def _number(word: str) -> float:
    return float(word) if word.isdigit() else 0.0
