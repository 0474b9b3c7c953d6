"""A folder of documents, an index and an ingestion job, over moto's S3, SQS and SNS.

Statuses and statistics: Bedrock User Guide, "Sync your data with your Amazon Bedrock knowledge base", and the service
models of botocore, to which every answer is held (`tests/lambdas/answers.py`).
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from tests.lambdas.answers import Answers, Json, RefusalError, paged

FOLDER = Path(__file__).parents[2] / "lambdas" / "ingestion"
DOCUMENTS, LAKE = "documents-bucket", "lake-bucket"
BASE, SOURCE, JOB = "KB12345678", "DS12345678", "JOB1234567"
INDEX = "arn:aws:s3vectors:eu-west-1:111122223333:bucket/vectors/index/documents"
BEGAN = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)
ENDED = BEGAN + timedelta(minutes=30, seconds=1, milliseconds=250)
BEFORE, AFTER = BEGAN - timedelta(minutes=1), BEGAN + timedelta(minutes=1)
SIDECAR = {"metadataAttributes": {"audience": "public", "title": "Hail"}}
MANIFEST = f"knowledge/manifests/20261128T103001Z-{JOB}.json"


@dataclass
class World:
    """A folder, an index and a job, of which a test changes what it is about."""

    s3: Any = field(default_factory=lambda: boto3.client("s3", region_name="eu-west-1"))
    sqs: Any = field(default_factory=lambda: boto3.client("sqs", region_name="eu-west-1"))
    sns: Any = field(default_factory=lambda: boto3.client("sns", region_name="eu-west-1"))
    job: Json = field(
        default_factory=lambda: {
            "knowledgeBaseId": BASE,
            "dataSourceId": SOURCE,
            "ingestionJobId": JOB,
            "status": "COMPLETE",
            "statistics": {"numberOfDocumentsScanned": 1, "numberOfDocumentsFailed": 0},
            "startedAt": BEGAN,
            "updatedAt": ENDED,
        }
    )
    refused: str = ""
    listed: list[Json] = field(default_factory=list)
    vectors: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        region = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
        for bucket in (DOCUMENTS, LAKE):
            self.s3.create_bucket(Bucket=bucket, **region)
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        self.queue = self.sqs.create_queue(QueueName="queue", Attributes={"VisibilityTimeout": "900"})[
            "QueueUrl"
        ]
        self.heard = self.sqs.create_queue(QueueName="heard")["QueueUrl"]
        self.topic = self.sns.create_topic(Name="alarms")["TopicArn"]
        heard = self.sqs.get_queue_attributes(QueueUrl=self.heard, AttributeNames=["QueueArn"])["Attributes"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=heard["QueueArn"])
        self.bedrock = Answers(
            "bedrock-agent",
            StartIngestionJob=self._start,
            GetIngestionJob=self._get,
            ListKnowledgeBaseDocuments=lambda given: paged(self.listed, "documentDetails", given),
        )
        self.index = Answers("s3vectors", ListVectors=self._vectors)

    def _start(self, _: Json) -> Json:
        if self.refused:
            raise RefusalError(self.refused)
        return {"ingestionJob": {**self.job, "status": "STARTING"}}

    def _get(self, given: Json) -> Json:
        if given["ingestionJobId"] != self.job["ingestionJobId"]:
            raise RefusalError(
                "ResourceNotFoundException" if given["ingestionJobId"] == "GONE123456" else "Oops"
            )
        return {"ingestionJob": self.job}

    def _vectors(self, given: Json) -> Json:
        shown = {
            "key",
            *(["data"] if given["returnData"] else []),
            *(["metadata"] if given["returnMetadata"] else []),
        }
        vectors = [{name: each[name] for name in each.keys() & shown} for each in self.vectors]
        return paged(vectors, "vectors", given)

    def put(
        self, key: str, body: bytes = b"text", sidecar: Json | None = SIDECAR, at: datetime = BEFORE
    ) -> None:
        """Publish a document with its sidecar at a time."""
        files = {key: body} | ({f"{key}.metadata.json": json.dumps(sidecar).encode()} if sidecar else {})
        for name, content in files.items():
            self.s3.put_object(Bucket=DOCUMENTS, Key=name, Body=content)
            stored = s3_backends["123456789012"]["aws"].get_object(DOCUMENTS, name)
            stored.last_modified = at.replace(tzinfo=None)

    def enlist(self, key: str, status: str = "INDEXED", **more: Any) -> None:
        """Have the knowledge base list a document."""
        identifier = {"dataSourceType": "S3", "s3": {"uri": f"s3://{DOCUMENTS}/{key}"}}
        detail = {"knowledgeBaseId": BASE, "dataSourceId": SOURCE, "status": status, "identifier": identifier}
        self.listed.append({**detail, **more})

    def embed(self, key: str, *values: float, source: str = SOURCE, **metadata: Any) -> None:
        """Add a chunk to the index, with the metadata that Bedrock writes."""
        system = {
            "AMAZON_BEDROCK_TEXT": "The chunk.",
            "x-amz-bedrock-kb-source-uri": f"s3://{DOCUMENTS}/{key}",
            "x-amz-bedrock-kb-data-source-id": source,
        }
        told = SIDECAR["metadataAttributes"] if not metadata.pop("bare", False) else {}
        vector = {"data": {"float32": list(values or (1.0, 0.5))}, "metadata": {**system, **told, **metadata}}
        self.vectors.append({"key": f"chunk-{len(self.vectors)}", **vector})

    def publish(self, key: str, at: datetime = BEFORE) -> None:
        """Publish a document that is indexed as it should be."""
        self.put(key, at=at)
        self.enlist(key)
        self.embed(key)

    def environment(self) -> dict[str, str]:
        return {
            "KNOWLEDGE_BASE_ID": BASE,
            "DATA_SOURCE_ID": SOURCE,
            "INDEX_ARN": INDEX,
            "EMBEDDING_MODEL_ID": "amazon.titan-embed-text-v2:0",
            "DIMENSION": "1024",
            "DOCUMENTS_BUCKET": DOCUMENTS,
            "DOCUMENTS_PREFIX": "documents",
            "MANIFEST_BUCKET": LAKE,
            "MANIFEST_PREFIX": "knowledge",
            "QUEUE_URL": self.queue,
            "METRIC_NAMESPACE": "fmops-dev/knowledge",
            "WATCH_SECONDS": "7",
            "ALARM_TOPIC_ARN": self.topic,
        }

    def handle(self, event: Json, **environment: str) -> Json:
        clients = {"bedrock-agent": self.bedrock.client, "s3vectors": self.index.client}
        clients |= {"s3": self.s3, "sqs": self.sqs, "sns": self.sns}
        answer: Json = (
            importlib.import_module("ingestion")
            .Ingestion({**self.environment(), **environment}, clients)
            .handle(event)
        )
        return answer

    def receive(self, *bodies: Any) -> Json:
        """Send messages to the queue, and return them as Lambda's event source does."""
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=text)
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, AttributeNames=["All"])
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
            }
            for each in found["Messages"]
        ]
        return {"Records": records}

    def watch(self, job: str = JOB, **environment: str) -> Json:
        return self.handle(self.receive({"watch": job}), **environment)

    def manifest(self) -> Json:
        manifest: Json = json.loads(self.s3.get_object(Bucket=LAKE, Key=MANIFEST)["Body"].read())
        return manifest

    def written(self) -> list[str]:
        """Return the keys of the lake, once for each version."""
        return [each["Key"] for each in self.s3.list_object_versions(Bucket=LAKE).get("Versions", ())]

    def told(self) -> list[Json]:
        found = self.sqs.receive_message(QueueUrl=self.heard, MaxNumberOfMessages=10).get("Messages", ())
        return [json.loads(each["Body"]) for each in found]

    def waiting(self, queue: str = "") -> tuple[int, int, int]:
        """Return how many messages are ready, delayed and in flight."""
        names = ["", "Delayed", "NotVisible"]
        attributes = [f"ApproximateNumberOfMessages{name}" for name in names]
        found = self.sqs.get_queue_attributes(QueueUrl=queue or self.queue, AttributeNames=attributes)
        ready, delayed, flying = (int(found["Attributes"][name]) for name in attributes)
        return ready, delayed, flying


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("ingestion", "outcome", "passages"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)  # tests with a local AWS leave theirs
    with mock_aws():
        yield World()
