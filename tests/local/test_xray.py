"""Traces are readable back, and what X-Ray would refuse is refused."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

NOW = time.time()


def trace_id(number: int) -> str:
    return f"1-{int(NOW):08x}-{number:024x}"


def put(cloud: Cloud, number: int, **segment: Any) -> None:
    document = {
        "id": f"{number:016x}",
        "trace_id": trace_id(number),
        "name": "desk",
        "start_time": NOW,
        "end_time": NOW + 1,
        **segment,
    }
    assert (
        cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[json.dumps(document)])[
            "UnprocessedTraceSegments"
        ]
        == []
    )


def find(cloud: Cloud, expression: str) -> list[str]:
    window = {
        "StartTime": datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=5),
        "EndTime": datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=5),
    }
    summaries = cloud.client("xray").get_trace_summaries(FilterExpression=expression, **window)[
        "TraceSummaries"
    ]
    return [summary["Id"] for summary in summaries]


def test_segments_are_found_by_id_and_filter(cloud: Cloud) -> None:
    put(
        cloud,
        1,
        annotations={"guardrail": "block"},
        subsegments=[{"id": "a", "name": "tool", "fault": True, "annotations": {"n": 7}}],
    )
    put(cloud, 2, name="other", parent_id="00000000000000ff")
    answer = cloud.client("xray").batch_get_traces(TraceIds=[trace_id(1), trace_id(99)])
    assert answer["UnprocessedTraceIds"] == [trace_id(99)]
    (trace,) = answer["Traces"]
    assert json.loads(trace["Segments"][0]["Document"])["annotations"] == {"guardrail": "block"}
    assert find(cloud, 'annotation[guardrail] = "block" AND fault') == [trace_id(1)]
    assert find(cloud, 'service("other")') == [trace_id(2)]
    assert find(cloud, "annotation.n = 7") == [trace_id(1)]
    assert find(cloud, 'annotation[guardrail] = "allow"') == []
    with pytest.raises(ClientError, match=r"does not implement.*responsetime"):
        find(cloud, "responsetime > 5")


def test_w3c_trace_ids_are_the_same_trace(cloud: Cloud) -> None:
    w3c = f"{int(NOW):08x}{3:024x}"
    put(cloud, 3, trace_id=w3c)
    assert cloud.client("xray").batch_get_traces(TraceIds=[trace_id(3)])["Traces"][0]["Id"] == trace_id(3)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("no json", "ParseError"),
        ('{"id": "00000000000000aa"}', "MissingField"),
        (json.dumps({"id": "1", "trace_id": "x", "name": "n", "start_time": 1}), "InvalidTraceId"),
        (json.dumps({"id": "1", "name": "x" * 65_536}), "SegmentTooLarge"),
    ],
)
def test_bad_segments_are_named(cloud: Cloud, document: str, code: str) -> None:
    (refused,) = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[document])[
        "UnprocessedTraceSegments"
    ]
    assert refused["ErrorCode"] == code
