"""The chapter on gaps closes one over the assistant's own routes, and says what did not come true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo import gaps
from demo.script import script
from demo.visit import Visit
from local.run.report import Section
from tests.assistant.test_gaps import Site
from tests.demo.conftest import quiet
from tests.drafting.lake import CORRECTION, DOCUMENTS, aws, keys, report
from tests.served import served


class Names:
    """Gives users their names for tokens."""

    def id_token(self, username: str) -> str:
        return username


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The assistant's routes, and a chat that answers from what is in the bucket."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(gaps, "BETWEEN_LOOKS", 0)
    monkeypatch.setattr(gaps, "calm", lambda _: None)
    with aws(monkeypatch) as s3:
        site = Site(s3, f"# Batteries\n\n{CORRECTION}")

        @site.app.post("/v1/chat/completions")
        def answer(_: dict[str, Any]) -> dict[str, Any]:
            there = [each for each in keys(s3, DOCUMENTS) if each.endswith(".md")]
            body = s3.get_object(Bucket=DOCUMENTS, Key=there[0])["Body"].read().decode() if there else ""
            sources = [{"document_id": each.removeprefix("documents/").removesuffix(".md")} for each in there]
            return {"choices": [{"message": {"content": body}}], "sources": sources}

        yield site


def visited(site: Site, *, history: bool = True, outputs: Any = None) -> tuple[list[str], Section]:
    section = Section("gaps")
    with served(site.app) as address:
        outputs = {"Knowledge": {}} if outputs is None else outputs
        visit = Visit(address, outputs, Names(), quiet(), "logs", history=history)
        return gaps.chapter(visit, section), section


def test_a_gap_of_the_report_is_closed_and_a_second_run_leaves_it_so(site: Site) -> None:
    report(site.s3, ("Where is my umbrella?", "My battery burnt the cellar: who pays?"))
    problems, section = visited(site)
    assert problems == []
    (document,) = {each.removesuffix(".metadata.json") for each in keys(site.s3, DOCUMENTS)}
    assert document.startswith("documents/drafted/household-insurance-batteries")
    text = site.s3.get_object(Bucket=DOCUMENTS, Key=document)["Body"].read().decode()
    assert text == script().gaps.text
    assert script().gaps.ask in section.found
    again, section = visited(site)
    assert again == [] and "was published before" in section.found


def test_what_did_not_come_true_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visited(site)[0] == [
        "gaps: the history ends with a topic that no document covers, but the report has no gap"
    ]
    report(site.s3)
    monkeypatch.setattr(gaps, "PATIENCE", -gaps.COMES_BACK - 1)
    monkeypatch.setattr("fmops.drafting.publication.publish", lambda *_: None)
    (problem,) = visited(site)[0]
    assert "no answer rests on drafted/household-insurance-batteries" in problem


def test_no_made_up_document_is_published_where_people_ask_or_documents_are_packaged(site: Site) -> None:
    report(site.s3)
    assert visited(site, history=False)[0] == []
    assert visited(site, outputs={"Assistant": {}})[0] == []
    assert keys(site.s3, DOCUMENTS) == []


@pytest.mark.parametrize("age", [0, 4, 600])
def test_a_document_is_published_only_when_its_ingestion_can_start(
    monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    started = datetime.now(UTC) - timedelta(seconds=age)
    slept: list[float] = []

    class Agent:
        def list_ingestion_jobs(self, **asked: Any) -> dict[str, Any]:
            assert asked["sortBy"] == {"attribute": "STARTED_AT", "order": "DESCENDING"}
            return {"ingestionJobSummaries": [{"startedAt": started}]}

    monkeypatch.setattr(gaps.boto3, "client", lambda _: Agent())
    monkeypatch.setattr(gaps.time, "sleep", slept.append)
    gaps.calm({"Knowledge": {"KnowledgeBaseId": "k", "DataSourceId": "d"}})
    (seconds,) = slept
    assert seconds <= max(0, gaps.BETWEEN_STARTS - age)
    assert (datetime.now(UTC) - started).total_seconds() + seconds >= gaps.BETWEEN_STARTS
