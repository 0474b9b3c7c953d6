"""Ingestion jobs: what becomes of files, of changes and of jobs that meet each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.aws.kernel.cloud import Cloud
from tests.local.knowledge import Shelf, pdf, refusal, word

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "knowledge_bases.yaml").read_text())


def body_of(case: dict[str, Any]) -> bytes:
    if "pdf" in case:
        return pdf(*case["pdf"], password=case.get("password"))
    return str(case["body"]).encode()


def sidecar_of(case: dict[str, Any]) -> Any:
    if "sidecar_text" in case:
        return str(case["sidecar_text"]).encode()
    if "sidecar_bytes" in case:
        empty = json.dumps({"metadataAttributes": {"title": ""}}, separators=(",", ":"))
        return empty.replace('""', '"' + "x" * (case["sidecar_bytes"] - len(empty)) + '"').encode()
    return case.get("sidecar")


@pytest.mark.parametrize("case", GOLDEN["files"], ids=lambda case: case["key"])
def test_files_are_taken_as_documented(shelf: Shelf, case: dict[str, Any]) -> None:
    sidecar = sidecar_of(case)
    shelf.put(case["key"], body_of(case), case["kind"], sidecar)
    job = shelf.ingest()
    scanned = {"numberOfDocumentsScanned": 1}
    if sidecar is not None:
        scanned["numberOfMetadataDocumentsScanned"] = 1
    counted = {case["counted"]: 1} if "counted" in case else {}
    assert (job["status"], job["statistics"]) == ("COMPLETE", {**scanned, **counted})
    assert shelf.documents() == ({case["key"]: case["status"]} if "status" in case else {})
    assert sorted(each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()) == case.get("texts", [])
    reasons = job.get("failureReasons", [])
    assert len(reasons) == ("reason" in case)
    assert all(case["reason"] in each for each in reasons)


def test_a_file_over_50_megabytes_is_ignored(shelf: Shelf) -> None:
    shelf.put("large.txt", b"x" * (50 * 1024 * 1024 + 1))
    job = shelf.ingest()
    assert job["statistics"] == {"numberOfDocumentsScanned": 1}
    assert "MaximumFileSizeSupported: 52428800 bytes" in job["failureReasons"][0]
    assert shelf.documents() == {}


def test_a_second_job_takes_only_what_changed(shelf: Shelf) -> None:
    shelf.put("same.txt", "Storms are covered.", sidecar={"audience": "public"})
    shelf.put("text.txt", "Hail is covered.", sidecar={"audience": "public"})
    shelf.put("sidecar.txt", "Floods are covered.", sidecar={"audience": "public"})
    shelf.put("gone.txt", "Fire is covered.")
    first = shelf.ingest()
    assert first["statistics"]["numberOfNewDocumentsIndexed"] == 4
    before = {each["AMAZON_BEDROCK_TEXT"]: each["key"] for each in shelf.stored()}

    shelf.put("text.txt", "Hail is not covered.")
    shelf.put("sidecar.txt", "Floods are covered.", sidecar={"audience": "staff"})
    shelf.put("new.txt", "Theft is covered.")
    shelf.remove("gone.txt")
    second = shelf.ingest()
    assert second["statistics"] == {
        "numberOfDocumentsScanned": 4,
        "numberOfMetadataDocumentsScanned": 3,
        "numberOfNewDocumentsIndexed": 1,
        "numberOfModifiedDocumentsIndexed": 1,
        "numberOfMetadataDocumentsModified": 1,
        "numberOfDocumentsDeleted": 1,
    }
    stored = {each["AMAZON_BEDROCK_TEXT"]: each for each in shelf.stored()}
    assert set(stored) == {
        "Storms are covered.",
        "Hail is not covered.",
        "Floods are covered.",
        "Theft is covered.",
    }
    assert stored["Floods are covered."]["audience"] == "staff"
    assert stored["Storms are covered."]["key"] == before["Storms are covered."]

    third = shelf.ingest()
    assert third["statistics"] == {"numberOfDocumentsScanned": 4, "numberOfMetadataDocumentsScanned": 3}
    assert shelf.stored() == list(stored.values())


def test_a_document_whose_sidecar_grew_too_large_vanishes(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.", sidecar={"audience": "public"})
    shelf.ingest()
    shelf.put("hail.txt", "Hail is covered.", sidecar={"audience": "x" * 1100})
    job = shelf.ingest()
    assert (job["status"], job["statistics"].get("numberOfDocumentsFailed", 0)) == ("COMPLETE", 0)
    assert (shelf.documents(), shelf.stored()) == ({}, [])


def test_a_failed_document_is_tried_again_and_keeps_its_old_vectors_until_then(shelf: Shelf) -> None:
    shelf.put("hail.pdf", pdf("Hail"), "application/pdf")
    shelf.ingest()
    shelf.put("hail.pdf", b"torn", "application/pdf")
    for _ in range(2):
        assert shelf.ingest()["statistics"]["numberOfDocumentsFailed"] == 1
        assert shelf.documents() == {"hail.pdf": "FAILED"}
        assert [each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()] == ["Hail"]
    shelf.put("hail.pdf", pdf("Storm"), "application/pdf")
    shelf.ingest()
    assert shelf.documents() == {"hail.pdf": "INDEXED"}
    assert [each["AMAZON_BEDROCK_TEXT"] for each in shelf.stored()] == ["Storm"]


def test_an_index_that_counts_the_text_as_filterable_refuses_long_chunks(enforcing: Cloud) -> None:
    """The list says INDEXED, as public reports have it; only the job tells."""
    shelf = Shelf(enforcing, "filterable-text", hidden=["other"])
    shelf.grant()
    large = {
        "chunkingStrategy": "FIXED_SIZE",
        "fixedSizeChunkingConfiguration": {"maxTokens": 600, "overlapPercentage": 1},
    }
    shelf.open(vectorIngestionConfiguration={"chunkingConfiguration": large})
    shelf.put("long.txt", "covered hail " * 400)
    job = shelf.ingest()
    assert (job["status"], job["statistics"]["numberOfDocumentsFailed"]) == ("COMPLETE", 1)
    assert "Filterable metadata must have at most 2048 bytes (Service: S3Vectors" in job["failureReasons"][0]
    assert (shelf.documents(), shelf.stored()) == ({"long.txt": "INDEXED"}, [])
    assert shelf.ingest()["statistics"]["numberOfDocumentsFailed"] == 1


def test_vectors_carry_what_bedrock_writes(shelf: Shelf) -> None:
    shelf.put(
        "guide.pdf",
        pdf("One hail", "Two storms"),
        "application/pdf",
        {"audience": "public", "title": "Guide"},
    )
    shelf.ingest()
    first, second = shelf.stored()
    assert len(first.pop("key")) == 36
    assert json.loads(first.pop("AMAZON_BEDROCK_METADATA")) == {"source": shelf.uri("guide.pdf")}
    assert first == {
        "audience": "public",
        "title": "Guide",
        "AMAZON_BEDROCK_TEXT": "One hail",
        "x-amz-bedrock-kb-source-uri": shelf.uri("guide.pdf"),
        "x-amz-bedrock-kb-data-source-id": shelf.source_id,
        "x-amz-bedrock-kb-document-page-number": 0.0,
    }
    assert isinstance(first["x-amz-bedrock-kb-document-page-number"], float)
    assert second["x-amz-bedrock-kb-document-page-number"] == 1.0


def test_a_sidecar_cannot_say_where_a_document_comes_from(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.", sidecar={"x-amz-bedrock-kb-source-uri": "s3://elsewhere/x"})
    shelf.ingest()
    assert shelf.stored()[0]["x-amz-bedrock-kb-source-uri"] == shelf.uri("hail.txt")


def test_only_the_prefix_is_read(shelf: Shelf) -> None:
    shelf.s3.put_object(Bucket=shelf.name, Key="elsewhere/hail.txt", Body=b"Hail", ContentType="text/plain")
    shelf.s3.put_object(Bucket=shelf.name, Key="documents/folder/", Body=b"")
    assert shelf.ingest()["statistics"] == {}


def test_a_word_document_is_read_with_its_tables(shelf: Shelf) -> None:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    shelf.put("hail.docx", word("Hail", "is covered", table=("up to", "500")), kind)
    shelf.ingest()
    assert shelf.stored()[0]["AMAZON_BEDROCK_TEXT"] == "Hail\nis covered\nup to\t500"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a.txt", "b.txt", "c.txt"]),
        st.sampled_from(["put", "put", "restrict", "overload", "remove", "ingest"]),
        st.sampled_from(["Hail", "Storm", "Flood"]),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_after_a_job_the_index_holds_what_the_folder_holds(
    shelf: Shelf, steps: list[tuple[str, str, str]]
) -> None:
    folder: dict[str, tuple[str, str]] = {}
    for key in ("a.txt", "b.txt", "c.txt"):
        shelf.remove(key)
    for key, step, text in steps:
        if step == "put":
            shelf.put(key, text, sidecar={"audience": "public"})
            folder[key] = (text, "public")
        elif step in ("restrict", "overload") and key in folder:
            audience = "staff" if step == "restrict" else "x" * 1100
            shelf.put(key, folder[key][0], sidecar={"audience": audience})
            folder[key] = (folder[key][0], audience)
        elif step == "remove":
            shelf.remove(key)
            folder.pop(key, None)
        elif step == "ingest":
            shelf.ingest()
    shelf.ingest()
    visible = {key: each for key, each in folder.items() if len(each[1]) < 1000}
    assert shelf.documents() == dict.fromkeys(visible, "INDEXED")
    stored = [
        (
            each["x-amz-bedrock-kb-source-uri"].rpartition("/")[2],
            each["AMAZON_BEDROCK_TEXT"],
            each["audience"],
        )
        for each in shelf.stored()
    ]
    assert sorted(stored) == sorted((key, *each) for key, each in visible.items())


@pytest.fixture
def held(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """The work of jobs, which waits until a test does it."""
    work: list[Callable[[], None]] = []
    monkeypatch.setattr(shelf.state, "run", work.append)
    return work


def test_one_job_at_a_time_for_all_sources_of_a_base(shelf: Shelf, held: list[Callable[[], None]]) -> None:
    other = shelf.agent.create_data_source(**shelf.source_request(name="other"))["dataSource"]["dataSourceId"]
    job = shelf.agent.start_ingestion_job(**shelf.ids)["ingestionJob"]
    assert job["status"] == "STARTING"
    for source in (shelf.source_id, other):
        found = refusal(shelf.agent.start_ingestion_job, knowledgeBaseId=shelf.base_id, dataSourceId=source)
        assert (found["status"], found["Code"]) == (409, "ConflictException")
        assert "maximum number of concurrent ingestion jobs per knowledge base: 1" in found["Message"]
    for call in (shelf.agent.delete_data_source, shelf.agent.delete_knowledge_base):
        named = shelf.ids if call == shelf.agent.delete_data_source else {"knowledgeBaseId": shelf.base_id}
        assert refusal(call, **named)["Code"] == "ConflictException"
    held.pop()()
    assert shelf.job(job["ingestionJobId"])["status"] == "COMPLETE"
    shelf.agent.start_ingestion_job(**shelf.ids)


def test_a_job_starts_every_ten_seconds_at_most(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: the quota of StartIngestionJob, 0.1 requests a second."""
    moment = [1000.0]
    monkeypatch.setattr(shelf.state, "clock", lambda: moment[0])
    monkeypatch.setattr(shelf.state, "seconds_between_starts", 10.0)
    monkeypatch.setattr(shelf.state, "_last_start", None)
    shelf.ingest()
    moment[0] += 9.9
    found = refusal(shelf.agent.start_ingestion_job, **shelf.ids)
    assert (found["status"], found["Code"]) == (429, "ThrottlingException")
    moment[0] += 0.1
    assert shelf.ingest()["status"] == "COMPLETE"


def test_a_job_that_is_stopped_leaves_the_rest(shelf: Shelf, held: list[Callable[[], None]]) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    job = shelf.agent.start_ingestion_job(**shelf.ids)["ingestionJob"]["ingestionJobId"]
    stopped = shelf.agent.stop_ingestion_job(**shelf.ids, ingestionJobId=job)["ingestionJob"]
    assert stopped["status"] == "STOPPING"
    held.pop()()
    assert (shelf.job(job)["status"], shelf.stored()) == ("STOPPED", [])
    again = refusal(shelf.agent.stop_ingestion_job, **shelf.ids, ingestionJobId=job)
    assert again["Code"] == "ConflictException"


def test_jobs_are_listed_by_status_and_page(shelf: Shelf) -> None:
    started = [shelf.ingest()["ingestionJobId"] for _ in range(2)]
    shelf.grant("s3:ListBucket")
    failed = shelf.ingest()["ingestionJobId"]
    ask = shelf.agent.list_ingestion_jobs
    listed = ask(**shelf.ids, maxResults=2)
    assert [each["ingestionJobId"] for each in listed["ingestionJobSummaries"]] == [failed, started[1]]
    rest = ask(**shelf.ids, maxResults=2, nextToken=listed["nextToken"])["ingestionJobSummaries"]
    assert [each["ingestionJobId"] for each in rest] == [started[0]]
    only = ask(**shelf.ids, filters=[{"attribute": "STATUS", "operator": "EQ", "values": ["FAILED"]}])
    assert [each["ingestionJobId"] for each in only["ingestionJobSummaries"]] == [failed]


def test_documents_are_asked_for_by_name(shelf: Shelf) -> None:
    shelf.put("hail.txt", "Hail is covered.")
    shelf.ingest()
    names = [{"dataSourceType": "S3", "s3": {"uri": shelf.uri(key)}} for key in ("hail.txt", "unknown.txt")]
    found = shelf.agent.get_knowledge_base_documents(**shelf.ids, documentIdentifiers=names)[
        "documentDetails"
    ]
    assert [each["status"] for each in found] == ["INDEXED", "NOT_FOUND"]
