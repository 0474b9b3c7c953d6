"""The permissions that the templates give are those that reading traces needs, in the enforcing local AWS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from fmops.traces import TraceReader, TracesUnavailableError, Window
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from stacks.sidecar import READ_SEGMENTS, READ_SPANS
from tests.local.test_iam import Role, allow
from tests.traces.conftest import search
from tests.traces.traces import new_id, put, request

DAY = timedelta(days=1)
numbers = count()


@pytest.fixture(scope="module", params=[READ_SEGMENTS, READ_SPANS], ids=["segments", "spans"])
def enforcing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cloud, Sequence[str]]]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, directory=directory) as cloud:
        if request.param == READ_SPANS:
            search(cloud)
        yield cloud, request.param


def reader(cloud: Cloud, actions: Sequence[str], *, searched: bool, seconds: float = 8) -> TraceReader:
    role = Role(cloud, f"reader-{next(numbers)}", allow(["s3:GetObject", *actions]))
    return TraceReader(role.client("xray"), transaction_search=searched, seconds=seconds)


def test_the_actions_of_the_templates_suffice(enforcing: tuple[Cloud, Sequence[str]]) -> None:
    cloud, actions = enforcing
    trace_id = new_id()
    put(cloud, *request(trace_id, "me"))
    found = reader(cloud, actions, searched=actions == READ_SPANS).read([trace_id], Window.last(DAY))
    assert len(found[trace_id].spans) == 7


def test_each_of_them_is_needed(
    enforcing: tuple[Cloud, Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, actions = enforcing
    trace_id = new_id()
    put(cloud, *request(trace_id, "me"))
    for missing in actions:
        # Only a retrieval that takes too long is cancelled.
        cancels = missing == "xray:CancelTraceRetrieval"
        monkeypatch.setattr("local.aws.services.xray.retrieval.RUNNING_SECONDS", 600 if cancels else 0.1)
        others = [each for each in actions if each != missing]
        with pytest.raises(TracesUnavailableError, match="AccessDenied"):
            reader(cloud, others, searched=actions == READ_SPANS, seconds=0 if cancels else 8).read(
                [trace_id], Window.last(DAY)
            )
