"""Traces of requests, written to the local X-Ray by its own API, as the collector writes them."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.cloud import Cloud


def new_id() -> str:
    return secrets.token_hex(16)


def segment(trace_id: str, span_id: str, name: str, *, parent: str = "", **given: Any) -> dict[str, Any]:
    """Return a segment document; ``metadata`` gives attributes that X-Ray only stores."""
    started = given.pop("start_time", time.time())
    document = {
        "trace_id": f"1-{trace_id[:8]}-{trace_id[8:]}",
        "id": span_id,
        "name": name,
        "start_time": started,
        "end_time": started + given.pop("seconds", 0.5),
        **given,
    }
    if "metadata" in document:
        document["metadata"] = {"default": document["metadata"]}
    return document | ({"parent_id": parent, "type": "subsegment"} if parent else {})


def request(trace_id: str, user: str, *, root: str = "a" * 16, **more: Any) -> list[dict[str, Any]]:
    """Return a request as a SERVER span with a check, a decision, a tool, a search, a model call and the capture."""
    told = {
        "user.hash": user,
        "http.route": "/v1/chat/completions",
        "fmops.interaction.id": f"int-{trace_id}",
        "fmops.interaction.finish_reason": "stop",
        "fmops.usage.input_tokens": 1200,
        "fmops.usage.output_tokens": 80,
        "fmops.cost.usd": 0.0016,
        "fmops.guardrail.checks": ["input allow - - 12", "input allow - - 3", "output redact pii EMAIL 9"],
        "fmops.authorization.decisions": [
            "get_claim Claim ALLOW permitted customer-own-claim 21",
            "approve_payout Claim DENY not_permitted - 22",
        ],
        "fmops.tool.calls": ["get_claim success 40", "approve_payout denied 1"],
        **more,
    }
    parts = [
        ("1", "guardrail pii", {"fmops.guardrail.detector": "pii", "fmops.guardrail.direction": "input",
                                "fmops.guardrail.result": "ok", "fmops.guardrail.findings": 0}),
        ("2", "authorize", {"fmops.authorization.action": ["get_claim"], "fmops.authorization.decision": "ALLOW",
                            "fmops.authorization.determining_policies": ["customer-own-claim"]}),
        ("3", "execute_tool get_claim", {"gen_ai.operation.name": "execute_tool",
                                         "gen_ai.tool.name": "get_claim"}),
        ("4", "retrieval policy-documents", {"gen_ai.operation.name": "retrieval", "fmops.retrieval.found": 4,
                                             "fmops.retrieval.readable": 3}),
        ("5", "model.chat", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "amazon.nova-lite-v1:0",
                             "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 80}),
        ("6", "capture", {}),
    ]  # fmt: skip
    return [
        segment(trace_id, root, "assistant", metadata=told, seconds=1.5),
        *(
            segment(trace_id, f"{root[:8]}{number * 8}", name, parent=root, metadata=attributes)
            for number, name, attributes in parts
        ),
    ]


def put(cloud: Cloud, *documents: dict[str, Any]) -> None:
    answer = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=list(map(json.dumps, documents)))
    assert answer["UnprocessedTraceSegments"] == []


def now() -> datetime:
    return datetime.now(UTC)
