"""Publishing makes the bucket hold exactly the folder's documents, and never shows one to more people than its header
says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fmops.documents import read
from fmops.documents.publishing import Plan, PublishingError, plan, publish

BUCKET = "documents-of-the-test"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def write(at: Path, name: str, text: str, classification: str = "public", region: str = "") -> None:
    header = f"title: {name}\nclassification: {classification}\n" + (f"region: {region}\n" if region else "")
    (at / f"{name}.md").write_text(f"{header}---\n{text}")


def published(at: Path, s3: Any, **options: Any) -> tuple[Plan, list[str]]:
    """Publish the folder; return the plan, and the writes in their order."""
    writes: list[str] = []

    def note(model: Any, params: Any, **_: Any) -> None:
        if model.name in ("PutObject", "DeleteObject", "DeleteObjects"):
            writes.append(f"{model.name} {params.get('url_path', '')}".replace("/documents/", ""))

    s3.meta.events.register("before-call.s3", note)
    planned = plan(read(at), s3, BUCKET)
    publish(planned, s3, BUCKET, **options)
    s3.meta.events.unregister("before-call.s3", note)
    return planned, writes


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_publishing_twice_changes_nothing(tmp_path: Path, s3: Any) -> None:
    for number in range(40):
        write(tmp_path, f"guide {number}", "Text")
    told: list[tuple[int, int]] = []

    planned, writes = published(tmp_path, s3, tell=lambda done, total: told.append((done, total)))
    assert (len(planned.changes), len(writes)) == (40, 80)
    assert told == [(done, 40) for done in range(1, 41)]
    there = s3.get_object(Bucket=BUCKET, Key="documents/guide 0.md")
    assert (there["Body"].read(), there["ContentType"]) == (b"Text", "text/markdown")

    planned, writes = published(tmp_path, s3)
    assert (planned.changes, planned.removed, planned.unchanged, writes) == ([], [], 40, [])


def test_only_what_differs_is_written_and_what_is_gone_is_removed(tmp_path: Path, s3: Any) -> None:
    for name in ("same", "body", "title", "gone"):
        write(tmp_path, name, "Text")
    published(tmp_path, s3)
    s3.put_object(Bucket=BUCKET, Key="elsewhere/kept.md", Body=b"")
    write(tmp_path, "body", "Other")
    (tmp_path / "title.md").write_text("title: Other\nclassification: public\n---\nText")
    (tmp_path / "gone.md").unlink()

    planned, writes = published(tmp_path, s3)

    assert planned.documents_removed == ["documents/gone.md"]
    assert sorted(writes) == [
        "DeleteObjects ?delete",
        "PutObject body.md",
        "PutObject title.md.metadata.json",
    ]
    assert "elsewhere/kept.md" in keys(s3) and "documents/gone.md.metadata.json" not in keys(s3)


def test_a_plan_alone_writes_nothing(tmp_path: Path, s3: Any) -> None:
    write(tmp_path, "a", "Text")
    assert [change.file.id for change in plan(read(tmp_path), s3, BUCKET).changes] == ["a"]
    assert keys(s3) == []


@pytest.mark.parametrize(("before", "after"), [("internal", "public"), ("public", "internal")])
def test_a_document_with_another_audience_is_invisible_while_its_body_changes(
    before: str, after: str, tmp_path: Path, s3: Any
) -> None:
    write(tmp_path, "a", "Before", before)
    _, first = published(tmp_path, s3)
    write(tmp_path, "a", "After", after)
    _, then = published(tmp_path, s3)
    assert first == ["PutObject a.md.metadata.json", "PutObject a.md"]
    assert then == ["DeleteObject a.md.metadata.json", "PutObject a.md", "PutObject a.md.metadata.json"]


def test_an_interrupted_change_of_audience_is_completed_in_the_same_order(tmp_path: Path, s3: Any) -> None:
    """The old body, which only staff may read, must not get the new sidecar, which is public."""
    write(tmp_path, "a", "Secret", "internal")
    published(tmp_path, s3)
    s3.delete_object(Bucket=BUCKET, Key="documents/a.md.metadata.json")
    write(tmp_path, "a", "Cleared")
    _, writes = published(tmp_path, s3)
    assert [each for each in writes if each.startswith("Put")] == [
        "PutObject a.md",
        "PutObject a.md.metadata.json",
    ]


def test_what_was_damaged_in_the_bucket_is_mended(tmp_path: Path, s3: Any) -> None:
    write(tmp_path, "a", "Text")
    published(tmp_path, s3)
    s3.put_object(Bucket=BUCKET, Key="documents/a.md.metadata.json", Body=b"no JSON")
    s3.put_object(Bucket=BUCKET, Key="documents/a.md", Body=b"Text")  # as octet-stream: indexed without text
    _, writes = published(tmp_path, s3)
    assert "PutObject a.md" in writes
    assert published(tmp_path, s3)[1] == []


def test_objects_are_encrypted_with_the_key_that_is_given(tmp_path: Path, s3: Any) -> None:
    write(tmp_path, "a", "Text")
    published(tmp_path, s3, kms_key="arn:aws:kms:us-east-1:123456789012:key/k")
    for key in keys(s3):
        there = s3.head_object(Bucket=BUCKET, Key=key)
        assert (there["ServerSideEncryption"], there["SSEKMSKeyId"][-5:]) == ("aws:kms", "key/k")


def test_a_deletion_that_fails_is_said(tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a", "Text")
    planned = Plan([], ["documents/b.md"], 1)
    answer = {"Errors": [{"Key": "documents/b.md", "Code": "AccessDenied"}]}
    monkeypatch.setattr(s3, "delete_objects", lambda **_: answer)
    with pytest.raises(PublishingError, match=r"documents/b\.md \(AccessDenied\)"):
        publish(planned, s3, BUCKET)


def test_documents_from_drafts_stay_unless_the_folder_has_their_names(tmp_path: Path, s3: Any) -> None:
    for key in ("drafted/ours.md", "drafted/ours.md.metadata.json", "drafted/taken.md", "drafts.md"):
        s3.put_object(Bucket=BUCKET, Key=f"documents/{key}", Body=b"Drafted")
    (tmp_path / "drafted").mkdir()
    write(tmp_path / "drafted", "taken", "Taken over")

    planned, _ = published(tmp_path, s3)
    assert planned.removed == ["documents/drafts.md"]
    assert s3.get_object(Bucket=BUCKET, Key="documents/drafted/ours.md")["Body"].read() == b"Drafted"
    assert s3.get_object(Bucket=BUCKET, Key="documents/drafted/taken.md")["Body"].read() == b"Taken over"
