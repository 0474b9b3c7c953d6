"""Findings that the function writes when an ingestion job has ended."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.s3.models import s3_backends

from tests.lambdas.answers import Json
from tests.lambdas.knowledge import AFTER, BEFORE, DOCUMENTS, INDEX, JOB, LAKE, MANIFEST, World, world

__all__ = ["world"]


def test_a_good_job_is_recorded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    key = "documents/guides/Überflutung 2026.pdf"
    world.put(key)
    world.enlist(key)
    for page, values in enumerate([(1.0, 0.5), (0.25, -2.0), (0.0, 0.1)]):
        world.embed(key, *values, **{"x-amz-bedrock-kb-document-page-number": float(page)})
    world.publish("documents/travel-cancellation.md")
    world.watch()
    manifest = world.manifest()
    first, second = manifest.pop("documents")
    assert manifest == {
        "schema_version": 1,
        "job": JOB,
        "status": "COMPLETE",
        "started_at": "2026-11-28T10:00:00Z",
        "completed_at": "2026-11-28T10:30:01Z",
        "index": INDEX,
        "embedding_model": "amazon.titan-embed-text-v2:0",
        "dimension": 1024,
        "statistics": {"numberOfDocumentsScanned": 1, "numberOfDocumentsFailed": 0},
        "failure_reasons": [],
        "problems": [],
    }
    assert {**first, "etag": "", "vectors": ""} == {
        "id": "guides/Überflutung 2026",
        "key": key,
        "etag": "",
        "size": 4,
        "title": "Hail",
        "audience": "public",
        "classification": "",
        "region": "",
        "status": "INDEXED",
        "chunks": 3,
        "vectors": "",
    }
    assert (second["id"], second["chunks"]) == ("travel-cancellation", 1)
    assert vectors(world, first) == [
        (0.0, (1.0, 0.5)),
        (1.0, (0.25, -2.0)),
        (2.0, (0.0, pytest.approx(0.1, abs=1e-4))),
    ]
    assert vectors(world, second) == [(None, (1.0, 0.5))]
    assert world.told() == []
    metrics = json.loads(capsys.readouterr().out)
    assert (metrics["Documents"], metrics["Chunks"], metrics["Problems"]) == (2, 4, 0)
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("fmops-dev/knowledge", [[]])


def vectors(world: World, document: Json) -> list[tuple[float | None, tuple[float, ...]]]:
    body = world.s3.get_object(Bucket=LAKE, Key=document["vectors"])["Body"].read()
    lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return [(each["page"], struct.unpack("<2e", base64.b64decode(each["vector"]))) for each in lines]


def test_a_watch_that_comes_twice_writes_once(world: World) -> None:
    world.publish("documents/hail.md")
    world.put("documents/storm.md", sidecar=None)
    world.watch()
    world.watch()
    assert sorted(world.written()) == sorted({*world.written()})
    assert len(world.told()) == 1


def test_a_watch_that_broke_off_says_everything_again_and_writes_the_same(world: World) -> None:
    world.publish("documents/hail.md")
    world.put("documents/storm.md", sidecar=None)
    world.watch()
    before = world.manifest()
    world.s3.delete_object(Bucket=LAKE, Key=MANIFEST)
    world.watch()
    assert world.manifest() == before
    assert sum("/vectors/" in key for key in world.written()) == 1
    assert len(world.told()) == 2


def test_vectors_are_read_only_for_documents_that_have_none_yet(world: World) -> None:
    world.publish("documents/hail.md")
    world.watch()
    world.job["ingestionJobId"] = "JOB7654321"
    world.watch("JOB7654321")
    assert [each["returnData"] for each in world.index.calls("ListVectors")] == [True, False]


@pytest.mark.parametrize("late", ["document", "sidecar"])
def test_what_changed_after_the_job_began_is_not_judged_and_has_no_vectors(world: World, late: str) -> None:
    world.publish("documents/hail.md")
    world.publish("documents/storm.md", at=AFTER)
    if late == "sidecar":
        stored = s3_backends["123456789012"]["aws"].get_object(DOCUMENTS, "documents/storm.md")
        stored.last_modified = BEFORE.replace(tzinfo=None)
    world.put("documents/new.md", at=AFTER)
    world.watch()
    manifest = world.manifest()
    assert manifest["problems"] == []
    assert [(each["status"], bool(each["vectors"])) for each in manifest["documents"]] == [
        ("INDEXED", True),
        ("PENDING", False),
        ("PENDING", False),
    ]
    assert sum("/vectors/" in key for key in world.written()) == 1


def no_list(world: World) -> None:
    world.put("documents/hail.md")


def large_sidecar(world: World) -> None:
    world.put(
        "documents/hail.md", sidecar={"metadataAttributes": {"audience": "public", "title": "x" * 1000}}
    )


def empty(world: World) -> None:
    world.put("documents/hail.md", b"")


def unsupported(world: World) -> None:
    world.put("documents/hail.EXE")


def failed(world: World) -> None:
    world.put("documents/hail.pdf")
    world.enlist("documents/hail.pdf", "FAILED", statusReason="The file is encrypted.")


def ignored(world: World) -> None:
    world.put("documents/hail.pdf")
    world.enlist("documents/hail.pdf", "IGNORED")


def no_sidecar(world: World) -> None:
    world.put("documents/hail.md", sidecar=None)
    world.enlist("documents/hail.md")
    world.embed("documents/hail.md", bare=True)


def no_text(world: World) -> None:
    world.put("documents/scan.pdf")
    world.enlist("documents/scan.pdf")


def no_audience(world: World) -> None:
    world.put("documents/hail.md")
    world.enlist("documents/hail.md")
    world.embed("documents/hail.md", bare=True)


def still_listed(world: World) -> None:
    world.enlist("documents/old.md")


def still_embedded(world: World) -> None:
    world.embed("documents/old.md")


def earlier_source(world: World) -> None:
    world.publish("documents/hail.md")
    world.embed("documents/hail.md", source="DSEARLIER1")


def job_failed(world: World) -> None:
    world.job["status"] = "FAILED"


def reasons(world: World) -> None:
    world.job["failureReasons"] = ["Ignored 1 files as the associated metadata was larger than service limit"]


def uncounted(world: World) -> None:
    world.job["statistics"]["numberOfDocumentsFailed"] = 2


@pytest.mark.parametrize(
    ("fault", "key", "reason"),
    [
        (no_list, "documents/hail.md", "not in the index: Bedrock ignored it"),
        (large_sidecar, "documents/hail.md", "its sidecar has 1,059 bytes, and only 1,024 are read"),
        (empty, "documents/hail.md", "it is empty"),
        (unsupported, "documents/hail.EXE", ".exe is not read: use .csv"),
        (failed, "documents/hail.pdf", "its status is FAILED: The file is encrypted."),
        (ignored, "documents/hail.pdf", "its status is IGNORED"),
        (no_sidecar, "documents/hail.md", "it has no sidecar hail.md.metadata.json"),
        (no_text, "documents/scan.pdf", "it has no text"),
        (no_audience, "documents/hail.md", "without the audience of its sidecar"),
        (still_listed, "documents/old.md", "removed, and is still in the index"),
        (still_embedded, "documents/old.md", "removed, and is still in the index"),
        (earlier_source, "", "1 chunks of an earlier data source"),
        (job_failed, "", "the job ended as FAILED"),
        (reasons, "", "Ignored 1 files"),
        (uncounted, "", "2 documents failed"),
    ],
)
def test_a_job_that_ends_well_over_a_document_that_cannot_be_found_names_it(
    world: World, capsys: pytest.CaptureFixture[str], fault: Any, key: str, reason: str
) -> None:
    world.publish("documents/good.md")
    fault(world)
    world.watch()
    (problem,) = world.manifest()["problems"]
    assert problem["key"] == key
    assert reason in problem["reason"]
    assert json.loads(capsys.readouterr().out)["Problems"] == 1
    assert len(world.told()) == 1


def test_a_document_that_is_too_large_is_named(world: World) -> None:
    outcome = importlib.import_module("outcome")
    large = outcome.Document("documents/a.pdf", "e", 51_000_000, 100, late=False)
    assert "51,000,000 bytes, and only 50,000,000 are read" in outcome._problem(large, {}, 0, {})


def test_what_was_removed_after_the_job_began_is_not_judged(world: World) -> None:
    world.publish("documents/hail.md")
    # moto dates the marker with the present, which is after the job began.
    world.s3.delete_object(Bucket=DOCUMENTS, Key="documents/hail.md")
    world.job["startedAt"] = datetime.now(UTC) - timedelta(hours=1)
    world.watch()
    assert world.manifest()["problems"] == []


def test_what_was_removed_before_the_job_began_is_a_problem(world: World) -> None:
    world.publish("documents/hail.md")
    world.s3.delete_object(Bucket=DOCUMENTS, Key="documents/hail.md")
    world.job["startedAt"] = datetime.now(UTC) + timedelta(hours=1)
    world.watch()
    assert [each["key"] for each in world.manifest()["problems"]] == ["documents/hail.md"]


def test_the_topic_hears_the_names_in_a_form_that_chat_shows(world: World) -> None:
    for number in range(22):
        world.put(f"documents/{number:02}.exe")
    world.watch()
    (message,) = world.told()
    notification = json.loads(message["Message"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    content = notification["content"]
    assert content["textType"] == "client-markdown"
    assert content["title"] == f"Ingestion {JOB}: 22 problems with documents" == message["Subject"]
    lines = content["description"].splitlines()
    assert lines[0].startswith("- documents/00.exe: it is not in the index: .exe is not read")
    assert lines[-2:] == ["- and 2 more", f"All are in s3://{LAKE}/{MANIFEST}"]


def test_without_a_topic_nobody_is_told(world: World) -> None:
    world.put("documents/hail.md", sidecar=None)
    assert world.watch(ALARM_TOPIC_ARN="") == {"batchItemFailures": []}
    assert world.told() == []
    assert len(world.manifest()["problems"]) == 1


def test_an_address_with_percent_signs_is_the_same_document(world: World) -> None:
    key = "documents/storm guide ü.pdf"
    world.put(key)
    world.enlist("documents/storm%20guide%20%C3%BC.pdf")
    world.embed("documents/storm%20guide%20%C3%BC.pdf")
    world.watch()
    assert world.manifest()["problems"] == []
    assert world.manifest()["documents"][0]["chunks"] == 1
