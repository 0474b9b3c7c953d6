"""Traces are read whether or not Transaction Search is on, by an unchanged client against the local X-Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fmops.traces import TraceReader, TracesUnavailableError, Window
from fmops.traces.reader import RETENTION
from local.aws.kernel.cloud import Cloud
from local.aws.services.xray.retrieval import Retrievals
from tests.traces.traces import new_id, now, put, request, segment

DAY = timedelta(days=1)


def names(reader: TraceReader, trace_id: str, window: Window | None = None) -> list[str]:
    found = reader.read([trace_id], window or Window.last(DAY))
    return sorted(span.name for span in found[trace_id].spans) if found else []


@pytest.mark.parametrize("told", [None, False])
def test_a_trace_is_read_without_transaction_search(cloud: Cloud, told: bool | None) -> None:
    trace_id = new_id()
    put(cloud, *request(trace_id, "me"))
    reader = TraceReader(cloud.client("xray"), transaction_search=told)
    assert "execute_tool get_claim" in names(reader, trace_id)
    assert names(reader, new_id()) == []


@pytest.mark.parametrize("told", [None, True])
def test_a_trace_that_is_not_indexed_is_read_from_the_logs(searched: Cloud, told: bool | None) -> None:
    trace_id = new_id()
    put(searched, *request(trace_id, "me"))
    xray_id = f"1-{trace_id[:8]}-{trace_id[8:]}"
    assert searched.client("xray").batch_get_traces(TraceIds=[xray_id])["Traces"] == []
    reader = TraceReader(searched.client("xray"), transaction_search=told)
    assert "execute_tool get_claim" in names(reader, trace_id)
    assert names(reader, new_id()) == []


def test_traces_of_before_transaction_search_are_found_by_a_reader_that_asks(cloud: Cloud) -> None:
    trace_id, xray = new_id(), cloud.client("xray")
    put(cloud, *request(trace_id, "me"))
    xray.update_trace_segment_destination(Destination="CloudWatchLogs")
    try:
        assert names(TraceReader(xray), trace_id)
        assert names(TraceReader(xray, transaction_search=True), trace_id) == []
    finally:
        xray.update_trace_segment_destination(Destination="XRay")


def test_many_traces_are_read_in_batches_and_a_large_one_over_pages(searched: Cloud, cloud: Cloud) -> None:
    for each in (searched, cloud):
        ids = [new_id() for _ in range(12)]
        for trace_id in ids:
            put(each, segment(trace_id, "a" * 16, "assistant"))
        large = new_id()
        for first in range(0, 250, 50):
            put(each, *(segment(large, f"{n:016x}", f"span {n}") for n in range(first + 1, first + 51)))
        found = TraceReader(each.client("xray")).read([*ids, large, new_id()], Window.last(DAY))
        assert set(found) == {*ids, large}
        assert len(found[large].spans) == 250


def test_a_retrieval_looks_within_its_window(searched: Cloud) -> None:
    trace_id, reader = new_id(), TraceReader(searched.client("xray"), transaction_search=True)
    at = now() - timedelta(hours=5)
    put(searched, *(
        each | {"start_time": at.timestamp(), "end_time": at.timestamp() + 1} for each in request(trace_id, "me")
    ))  # fmt: skip
    assert names(reader, trace_id, Window.last(timedelta(hours=1))) == []
    assert len(names(reader, trace_id, Window.last(DAY))) == 7
    assert len(names(reader, trace_id, Window.around(at))) == 7


def test_subsegments_within_their_segment_are_spans_too(cloud: Cloud) -> None:
    trace_id = new_id()
    root, *within = request(trace_id, "me")
    for each in within:
        for key in ("trace_id", "type", "parent_id"):
            del each[key]
    put(cloud, root | {"subsegments": within})
    (trace,) = TraceReader(cloud.client("xray")).read([trace_id], Window.last(DAY)).values()
    assert len(trace.spans) == 7
    assert {span.parent_id for span in trace.spans[1:]} == {root["id"]}
    assert trace.complete


def test_a_slow_retrieval_is_cancelled_in_time(searched: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.aws.services.xray.retrieval.RUNNING_SECONDS", 600)
    clock = Clock()
    reader = TraceReader(
        searched.client("xray"), transaction_search=True, seconds=8, clock=clock, sleep=clock.pass_by
    )
    with pytest.raises(TracesUnavailableError, match="too long"):
        reader.read([new_id()], Window.last(DAY))
    assert clock.time <= 8
    retrievals = searched.state(Retrievals).by_token.values()
    assert [each.status for each in retrievals][-1] == "CANCELLED"


class Clock:
    """A clock that only sleeping moves."""

    time = 0.0

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += seconds


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT", "CANCELLED"])
def test_a_retrieval_that_fails_says_how(status: str) -> None:
    class Failing:
        def start_trace_retrieval(self, **_: Any) -> dict[str, str]:
            return {"RetrievalToken": "t"}

        def list_retrieved_traces(self, **_: Any) -> dict[str, Any]:
            return {"RetrievalStatus": status, "Traces": []}

    reader = TraceReader(Failing(), transaction_search=True)
    with pytest.raises(TracesUnavailableError, match=status):
        reader.read([new_id()], Window.last(DAY))


def test_a_refusal_names_its_code_and_nothing_else(cloud: Cloud) -> None:
    with pytest.raises(TracesUnavailableError) as refused:
        TraceReader(cloud.client("xray"), transaction_search=True).read([new_id()], Window.last(DAY))
    assert str(refused.value) == "InvalidRequestException"


def test_windows_end_now_at_the_latest_and_expire_after_the_retention() -> None:
    assert Window.around(now() + DAY).end <= now()
    assert Window.last(timedelta(days=99)).start >= now() - RETENTION - timedelta(minutes=1)
    assert Window.around(now() - timedelta(days=31)).expired
    assert not Window.around(now() - timedelta(days=29)).expired
    assert not Window.last(timedelta(days=30)).expired


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an unknown token": (lambda xray: xray.list_retrieved_traces(RetrievalToken="t"), "ResourceNotFoundException"),
    "cancelling an unknown token": (
        lambda xray: xray.cancel_trace_retrieval(RetrievalToken="t"), "ResourceNotFoundException",
    ),
    "an end before the start": (
        lambda xray: xray.start_trace_retrieval(
            TraceIds=[f"1-{'a' * 8}-{'b' * 24}"], StartTime=now(), EndTime=now() - DAY
        ), "InvalidRequestException",
    ),
    "an id that is none": (
        lambda xray: xray.start_trace_retrieval(TraceIds=["x"], StartTime=now() - DAY, EndTime=now()),
        "InvalidRequestException",
    ),
    "too many ids": (
        lambda xray: xray.start_trace_retrieval(
            TraceIds=[f"1-{'a' * 8}-{'b' * 24}"] * 101, StartTime=now() - DAY, EndTime=now()
        ), "InvalidRequestException",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_the_local_x_ray_refuses(searched: Cloud, what: str) -> None:
    call, code = WRONG[what]
    with pytest.raises(ClientError) as refused:
        call(searched.client("xray"))
    assert refused.value.response["Error"]["Code"] == code


def test_a_retrieval_passes_through_its_states(searched: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.aws.services.xray.retrieval.SCHEDULED_SECONDS", 100)
    monkeypatch.setattr("local.aws.services.xray.retrieval.RUNNING_SECONDS", 100)
    xray, trace_id = searched.client("xray"), new_id()
    put(searched, segment(trace_id, "a" * 16, "assistant"))
    token = xray.start_trace_retrieval(
        TraceIds=[f"1-{trace_id[:8]}-{trace_id[8:]}"], StartTime=now() - DAY, EndTime=now() + DAY
    )["RetrievalToken"]
    retrieval = searched.state(Retrievals).by_token[token]
    seen = []
    for age in (0, 150, 300, 4_000):
        retrieval.began = time.monotonic() - age
        answer = xray.list_retrieved_traces(RetrievalToken=token)
        seen.append((answer["RetrievalStatus"], len(answer["Traces"])))
    xray.cancel_trace_retrieval(RetrievalToken=token)
    cancelled = xray.list_retrieved_traces(RetrievalToken=token)["RetrievalStatus"]
    assert seen == [("SCHEDULED", 0), ("RUNNING", 0), ("COMPLETE", 1), ("TIMEOUT", 0)]
    assert cancelled == "CANCELLED"
