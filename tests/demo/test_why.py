"""The evidence of the tour is found with Transaction Search too, and its explanation is checked."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import evidence, why
from demo.tour import Step
from demo.visit import Visit
from fmops.interaction import Interaction
from fmops.traces import TraceReader
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.run.report import Section
from tests.assistant.test_why import make_app
from tests.demo.conftest import quiet
from tests.review.page import PSEUDONYMS
from tests.served import served
from tests.traces.conftest import search
from tests.traces.traces import new_id, now, put, request


class Names:
    """Gives users their names for tokens."""

    def id_token(self, username: str) -> str:
        return username


@pytest.fixture(params=[False, True], ids=["segments", "spans"])
def its(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    with LocalAws(port=0, enforce=False, directory=tmp_path) as cloud:
        if request.param:
            search(cloud)
        yield cloud


def step_of(trace_id: str) -> Step:
    step = Step(user="carla", ask="What is the state of my claim?", expect={})
    step.trace_id, step.interaction_id = trace_id, f"int-{trace_id}"
    step.tools = [{"name": "get_claim", "status": "success"}]
    return step


def test_evidence_is_complete_once_record_and_trace_arrived(
    its: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence.boto3, "client", its.client)
    its.client("s3").create_bucket(Bucket="lake")
    step = step_of(new_id())
    record = Interaction(
        interaction_id=step.interaction_id, trace_id=step.trace_id, service="assistant", input="", output=""
    )
    its.client("s3").put_object(
        Bucket="lake",
        Key=f"interactions/dt={now().date()}/hour=00/a.gz",
        Body=gzip.compress(record.line()),
    )
    read = evidence.Evidence({"Capture": {"LakeBucketName": "lake"}}, since=now())
    assert not read.complete([step])
    put(its, *request(step.trace_id, "me"))
    assert read.complete([step])
    read.gather([step])
    assert (step.problems, read.problems) == ([], [])
    assert len(read.segments[step.trace_id]) == 7


def explained(cloud: Cloud, step: Step, **app: Any) -> list[str]:
    with served(make_app(TraceReader(cloud.client("xray")), **app)) as url:
        visit = Visit(url, {}, Names(), quiet())
        return why.explain(visit, [step], Section("why"))


def test_an_answer_is_explained_to_its_owner_and_to_readers_alone(its: Cloud) -> None:
    step = step_of(new_id())
    put(its, *request(step.trace_id, PSEUDONYMS.user("carla")))
    assert explained(its, step) == []
    step.ask, step.tools = "Cedar permitted `get_claim` on a claim by", [{"name": "pay", "status": "denied"}]
    assert explained(its, step) == [
        "the trace shows no decision on pay",
        "the explanation contains what was said",
    ]


def test_what_is_wrong_with_an_explanation_is_said(its: Cloud) -> None:
    step = step_of(new_id())
    put(its, *request(step.trace_id, PSEUDONYMS.user("amir")))
    (problem,) = explained(its, step)
    assert problem.startswith("the trace of a request is not shown to carla")
    step.user, step.interaction_id = "amir", "int-another"
    assert explained(its, step) == ["the trace names another interaction"]
