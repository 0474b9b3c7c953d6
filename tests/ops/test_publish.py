"""``make publish`` brings a folder into the index, says what became of each file, and withdraws documents at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fmops.toolkit.record_table import RecordTable
from ops import publish
from tests.toolkit.runtime import validated

DOCUMENTS, LAKE, RECORDS = "documents-bucket", "lake-bucket", "records"
OUTPUTS = {
    "Knowledge": {
        "DocumentsBucketName": DOCUMENTS,
        "KnowledgeBaseId": "KB12345678",
        "DataSourceId": "DS12345678",
        "IngestionFunctionName": "ingest",
    },
    "Capture": {"LakeBucketName": LAKE},
    "Assistant": {"RecordsTableName": RECORDS},
}


class Ingestion:
    """The ingestion function and the job that it starts, which ends at the second look. It answers
    ``conflicts`` times that another one is running."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.conflicts = 0
        self.jobs = 0
        self.looked = 0
        self.problems: list[dict[str, str]] = []
        self.status = "COMPLETE"

    def invoke(self, **request: Any) -> dict[str, Any]:
        assert json.loads(request["Payload"]) == {"action": "ingest"}
        if self.conflicts:
            self.conflicts -= 1
            return {"Payload": io.BytesIO(b'{"conflict": true}')}
        self.jobs, self.looked = self.jobs + 1, 0
        return {"Payload": io.BytesIO(json.dumps({"job": f"JOB{self.jobs:07}"}).encode())}

    def get_ingestion_job(self, **request: Any) -> dict[str, Any]:
        self.looked += 1
        status = "IN_PROGRESS" if self.looked < 2 else self.status
        if status != "IN_PROGRESS":
            self._write(request["ingestionJobId"])
        job = {
            **request,
            "status": status,
            "startedAt": datetime.now(UTC),
            "updatedAt": datetime.now(UTC),
            "statistics": {"numberOfDocumentsScanned": 3, "numberOfNewDocumentsIndexed": 1},
        }
        return validated("bedrock-agent", "GetIngestionJob", request, {"ingestionJob": job})

    def _write(self, job: str) -> None:
        bad = {each["key"] for each in self.problems}
        listed = self.s3.list_objects_v2(Bucket=DOCUMENTS).get("Contents", ())
        keys = [each["Key"] for each in listed if not each["Key"].endswith(".metadata.json")]
        manifest = {
            "schema_version": 1,
            "job": job,
            "status": self.status,
            "failure_reasons": [],
            "documents": [
                {
                    "key": key,
                    "status": "IGNORED" if key in bad else "INDEXED",
                    "chunks": 0 if key in bad else 2,
                }
                for key in keys
            ],
            "problems": self.problems,
        }
        key = f"{publish.MANIFESTS}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{job}.json"
        self.s3.put_object(Bucket=LAKE, Key=key, Body=json.dumps(manifest).encode())


class Session:
    """The operator's session: real stores, and the ingestion in place of Lambda and Bedrock."""

    def __init__(self) -> None:
        self.region_name = "us-east-1"
        self.ingestion = Ingestion(self.client("s3"))

    def client(self, service: str, **options: Any) -> Any:
        if service in ("lambda", "bedrock-agent"):
            return self.ingestion
        return boto3.client(service, region_name="us-east-1", **options)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(publish, "LOOK_SECONDS", 0.0)
    with mock_aws():
        made = Session()
        for bucket in (DOCUMENTS, LAKE):
            made.client("s3").create_bucket(Bucket=bucket)
        made.client("dynamodb").create_table(
            TableName=RECORDS,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "kind", "KeyType": "HASH"},
                {"AttributeName": "id", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("kind", "id")],
        )
        deploy(made, *OUTPUTS)
        yield made


def deploy(session: Session, *stacks: str) -> None:
    """Create stacks that have the outputs alone."""
    for stack in stacks:
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in OUTPUTS[stack].items()},
        }
        session.client("cloudformation").create_stack(
            StackName=f"fmops-dev-{stack}", TemplateBody=json.dumps(template)
        )


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.md").write_text(f"title: {name}\nclassification: public\n---\nText of {name}\n")


def run(session: Session, *arguments: str) -> int:
    return publish.main(arguments, session)


def test_a_folder_is_published_and_indexed_after_the_ingestion_that_is_running(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft", "hail 2026")
    session.ingestion.conflicts = 2
    assert run(session, "--from", str(tmp_path)) == 0
    told = capsys.readouterr().out
    assert "2 new, 0 changed, 0 removed, 0 unchanged" in told
    assert told.count("Another ingestion is running") == 2
    assert "Indexing: 3 scanned, 1 indexed (in progress)" in told
    assert "2 documents are in the index, in 4 passages (COMPLETE)" in told


def test_the_same_folder_again_starts_no_ingestion(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    run(session, "--from", str(tmp_path))
    assert run(session, "--from", str(tmp_path)) == 0
    assert "Nothing has changed since the last ingestion" in capsys.readouterr().out
    assert session.ingestion.jobs == 1
    (tmp_path / "theft.md").unlink()
    write(tmp_path, "hail")
    assert run(session, "--from", str(tmp_path)) == 0
    assert "1 new, 0 changed, 1 removed" in capsys.readouterr().out
    assert session.ingestion.jobs == 2


def test_a_problem_is_named_with_its_file_though_the_job_is_complete(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft", "hail")
    session.ingestion.problems = [{"key": "documents/hail.md", "reason": "it is not in the index"}]
    assert run(session, "--from", str(tmp_path)) == 1
    told = capsys.readouterr().out
    assert "1 documents are in the index, in 2 passages" in told
    assert "✗ hail.md: it is not in the index. Remedy: correct the file" in told
    assert told.count("✗") == 1
    assert run(session, "--from", str(tmp_path)) == 1, "it is still a problem"


def test_a_job_that_failed_is_a_problem(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    session.ingestion.status = "FAILED"
    assert run(session, "--from", str(tmp_path)) == 1
    assert "✗ The ingestion: the job ended as FAILED. Remedy: " in capsys.readouterr().out


def test_a_dry_run_says_what_would_change_and_writes_nothing(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    assert run(session, "--from", str(tmp_path), "--dry-run") == 0
    assert "+ theft.md" in capsys.readouterr().out
    assert session.client("s3").list_objects_v2(Bucket=DOCUMENTS)["KeyCount"] == 0
    assert session.ingestion.jobs == 0


def test_every_refusal_is_said_and_nothing_is_published(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    (tmp_path / "a.md").write_text("no header")
    (tmp_path / "b.xyz").write_text("what")
    assert run(session, "--from", str(tmp_path)) == 1
    told = capsys.readouterr().err
    assert "✗ a.md (9 bytes): it has no header" in told
    assert "✗ b.xyz (4 bytes)" in told
    assert "Nothing was published: 2 refused" in told
    assert session.client("s3").list_objects_v2(Bucket=DOCUMENTS)["KeyCount"] == 0


def test_a_function_that_fails_is_said(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    failed = {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "KeyError"}')}
    monkeypatch.setattr(session.ingestion, "invoke", lambda **_: failed)
    assert run(session, "--from", str(tmp_path)) == 1
    assert "The ingestion function failed (KeyError)" in capsys.readouterr().err


def test_a_document_is_withdrawn_and_restored_in_the_system_of_record(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "theft")
    run(session, "--from", str(tmp_path))
    table = RecordTable(session.client("dynamodb"), RECORDS)
    assert run(session, "--withdraw", "theft") == 0
    assert table.withdrawn(["theft", "hail"]) == {"theft"}
    assert run(session, "--restore", "theft") == 0
    assert table.withdrawn(["theft"]) == set()
    assert run(session, "--withdraw", "thefft") == 1
    assert "There is no document 'thefft': use an id such as theft" in capsys.readouterr().err


def test_a_deployment_without_a_knowledge_base_says_how_to_get_one(
    tmp_path: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.client("cloudformation").delete_stack(StackName="fmops-dev-Knowledge")
    write(tmp_path, "theft")
    assert run(session, "--from", str(tmp_path)) == 1
    assert "has its documents in its image" in capsys.readouterr().err
    assert run(session, "--withdraw", "complaints") == 0
