"""The ingestion function with the local AWS's knowledge base, which is held to documentation and live reports."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from tests.lambdas.knowledge import FOLDER
from tests.local.knowledge import Shelf, pdf

SIDECAR = {"audience": "public", "classification": "public", "title": "Hail"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with LocalAws(port=0, directory=tmp_path_factory.mktemp("cloud")) as running:
        yield running


class Function:
    """The function, with clients of the local AWS."""

    def __init__(self, cloud: Cloud, shelf: Shelf) -> None:
        self.shelf = shelf
        self.lake = f"{shelf.name}-lake"
        self.s3, self.sqs = cloud.client("s3"), cloud.client("sqs")
        self.s3.create_bucket(Bucket=self.lake)
        self.s3.put_bucket_versioning(Bucket=shelf.name, VersioningConfiguration={"Status": "Enabled"})
        names = ("bedrock-agent", "s3", "s3vectors", "sns", "sqs")
        environment = {
            "KNOWLEDGE_BASE_ID": shelf.base_id,
            "DATA_SOURCE_ID": shelf.source_id,
            "INDEX_ARN": shelf.index,
            "EMBEDDING_MODEL_ID": "amazon.titan-embed-text-v2:0",
            "DIMENSION": "1024",
            "DOCUMENTS_BUCKET": shelf.name,
            "DOCUMENTS_PREFIX": "documents",
            "MANIFEST_BUCKET": self.lake,
            "MANIFEST_PREFIX": "knowledge",
            "QUEUE_URL": self.sqs.create_queue(QueueName=shelf.name)["QueueUrl"],
            "METRIC_NAMESPACE": "fmops-dev/knowledge",
            "WATCH_SECONDS": "0",
        }
        module = importlib.import_module("ingestion")
        self._ingestion = module.Ingestion(environment, {name: cloud.client(name) for name in names})
        self._queue = environment["QUEUE_URL"]

    def start(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ingestion.handle({"action": "ingest"})
        return answer

    def ingest(self) -> dict[str, Any]:
        """Run a job to its end and return its manifest, as the watch that the function has sent itself writes it."""
        job = self.start()["job"]
        self.shelf.state.wait()
        sent = self.sqs.receive_message(QueueUrl=self._queue, AttributeNames=["All"])["Messages"]
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
            }
            for each in sent
        ]
        assert self._ingestion.handle({"Records": records}) == {"batchItemFailures": []}
        for each in sent:
            self.sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=each["ReceiptHandle"])
        (key,) = [name for name in self.written("manifests") if job in name]
        manifest: dict[str, Any] = json.loads(self.s3.get_object(Bucket=self.lake, Key=key)["Body"].read())
        return manifest

    def written(self, kind: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.lake, Prefix=f"knowledge/{kind}/")
        return [each["Key"] for each in found.get("Contents", ())]


@pytest.fixture
def function(cloud: Cloud, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Function:
    monkeypatch.syspath_prepend(str(FOLDER))
    shelf = Shelf(cloud, f"shelf-{abs(hash(request.node.name)) % 10**6}")
    shelf.grant()
    return Function(cloud, shelf.open())


def test_the_bad_ones_of_a_folder_are_named_though_the_job_is_green(function: Function) -> None:
    shelf = function.shelf
    shelf.put("guides/Überflutung 2026.md", "Flood water is covered from the cellar up.", sidecar=SIDECAR)
    shelf.put("hail.pdf", pdf("Hail is covered.", "Report hail soon."), "application/pdf", sidecar=SIDECAR)
    shelf.put("long.md", "Text.", sidecar={**SIDECAR, "title": "x" * 1100})
    shelf.put("tool.exe", b"MZ", "application/octet-stream", sidecar=SIDECAR)
    shelf.put("nobody.md", "Nobody finds this.")
    shelf.put("secret.pdf", pdf("Hidden.", password="secret"), "application/pdf", sidecar=SIDECAR)
    manifest = function.ingest()
    assert manifest["status"] == "COMPLETE"
    named = {each["key"].removeprefix("documents/") for each in manifest["problems"] if each["key"]}
    assert named == {"long.md", "tool.exe", "nobody.md", "secret.pdf"}
    good = {each["id"]: each for each in manifest["documents"] if each["status"] == "INDEXED"}
    assert (good["hail"]["chunks"], good["hail"]["audience"], good["hail"]["title"]) == (2, "public", "Hail")
    assert good["guides/Überflutung 2026"]["chunks"] == 1
    body = function.s3.get_object(Bucket=function.lake, Key=good["hail"]["vectors"])["Body"].read()
    lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    assert sorted(line["page"] for line in lines) == [0.0, 1.0]


def test_the_same_folder_twice_adds_no_vectors_and_a_removed_file_is_gone(function: Function) -> None:
    shelf = function.shelf
    for name in ("hail", "storm"):
        shelf.put(f"{name}.md", f"About {name}.", sidecar=SIDECAR)
    first = function.ingest()
    vectors = function.written("vectors")
    second = function.ingest()
    assert first["documents"] == second["documents"]
    assert function.written("vectors") == vectors
    assert len(vectors) == 2
    shelf.remove("hail.md")
    shelf.remove("hail.md.metadata.json")
    third = function.ingest()
    assert [each["id"] for each in third["documents"]] == ["storm"]
    assert third["problems"] == []


def test_a_start_that_comes_too_soon_is_answered_and_not_raised(function: Function) -> None:
    function.shelf.put("hail.md", "About hail.", sidecar=SIDECAR)
    assert function.ingest()["problems"] == []
    function.shelf.state.seconds_between_starts = 10**6
    try:
        assert function.start() == {"conflict": True}
    finally:
        function.shelf.state.seconds_between_starts = 0
    assert "job" in function.start()
