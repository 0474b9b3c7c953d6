"""A knowledge base of a local AWS with its bucket, index, role and data source, and documents to put into it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from checks.documents.pdf import pdf as pdf
from local.aws.kernel.cloud import ACCOUNT, Cloud
from local.aws.services.bedrock_agent.state import KnowledgeBases

MODEL = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1})
"""A client that sends what it is given."""
VECTOR_ACTIONS = ("GetIndex", "PutVectors", "GetVectors", "DeleteVectors", "QueryVectors")
HIDDEN = ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def trust(**condition: Any) -> dict[str, Any]:
    """A trust policy of Bedrock, by default for the account's knowledge bases."""
    source = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:knowledge-base/*"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": condition
        or {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": source}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


class Shelf:
    """A knowledge base and everything that belongs to it, with names of its own."""

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        *,
        key: str | None = None,
        dimension: int = 1024,
        hidden: list[str] | None = None,
    ) -> None:
        self.cloud, self.name = cloud, name
        self.s3, self.vectors, self.agent = map(cloud.client, ("s3", "s3vectors", "bedrock-agent"))
        self.state = cloud.state(KnowledgeBases)
        self.state.seconds_between_starts = 0
        self.s3.create_bucket(Bucket=name)
        self.vectors.create_vector_bucket(
            vectorBucketName=name,
            **({"encryptionConfiguration": {"sseType": "aws:kms", "kmsKeyArn": key}} if key else {}),
        )
        self.index: str = self.vectors.create_index(
            vectorBucketName=name,
            indexName="index",
            dataType="float32",
            dimension=dimension,
            distanceMetric="cosine",
            metadataConfiguration={"nonFilterableMetadataKeys": HIDDEN if hidden is None else hidden},
        )["indexArn"]
        self.role = self.make_role(name, trust())
        self.base_id = self.source_id = ""

    def make_role(self, name: str, trusted: dict[str, Any]) -> str:
        role = self.cloud.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted)
        )
        return str(role["Role"]["Arn"])

    def grant(self, *without: str, more: tuple[dict[str, Any], ...] = (), role: str | None = None) -> None:
        """Give the role what the documentation lists, without some of the actions."""
        bucket = f"arn:aws:s3:::{self.name}"
        grants = {
            MODEL: ["bedrock:InvokeModel"],
            bucket: ["s3:ListBucket"],
            f"{bucket}/*": ["s3:GetObject"],
            self.index: [f"s3vectors:{each}" for each in VECTOR_ACTIONS],
        }
        statements = [
            {"Effect": "Allow", "Action": kept, "Resource": resource}
            for resource, actions in grants.items()
            if (kept := [each for each in actions if each not in without])
        ]
        document = {"Version": "2012-10-17", "Statement": [*statements, *more]}
        self.cloud.client("iam").put_role_policy(
            RoleName=role or self.name, PolicyName="knowledge", PolicyDocument=json.dumps(document)
        )

    def request(self, **changes: Any) -> dict[str, Any]:
        """The parameters of CreateKnowledgeBase."""
        model = {"dimensions": 1024, "embeddingDataType": "FLOAT32"}
        return {
            "name": self.name,
            "roleArn": self.role,
            "knowledgeBaseConfiguration": {
                "type": "VECTOR",
                "vectorKnowledgeBaseConfiguration": {
                    "embeddingModelArn": MODEL,
                    "embeddingModelConfiguration": {"bedrockEmbeddingModelConfiguration": model},
                },
            },
            "storageConfiguration": {
                "type": "S3_VECTORS",
                "s3VectorsConfiguration": {"indexArn": self.index},
            },
            **changes,
        }

    def source_request(self, **changes: Any) -> dict[str, Any]:
        """The parameters of CreateDataSource."""
        s3 = {"bucketArn": f"arn:aws:s3:::{self.name}", "inclusionPrefixes": ["documents/"]}
        return {
            "knowledgeBaseId": self.base_id,
            "name": self.name,
            "dataSourceConfiguration": {"type": "S3", "s3Configuration": s3},
            **changes,
        }

    def open(self, **changes: Any) -> Shelf:
        """Create the knowledge base and its data source."""
        self.base_id = self.agent.create_knowledge_base(**self.request())["knowledgeBase"]["knowledgeBaseId"]
        source = self.agent.create_data_source(**self.source_request(**changes))["dataSource"]
        self.source_id = source["dataSourceId"]
        return self

    @property
    def ids(self) -> dict[str, str]:
        return {"knowledgeBaseId": self.base_id, "dataSourceId": self.source_id}

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/documents/{key}"

    def put(self, key: str, body: bytes | str, kind: str = "text/plain", sidecar: Any = None) -> None:
        """Put a document, with its metadata as a dictionary, or with a sidecar of these bytes."""
        self.s3.put_object(Bucket=self.name, Key=f"documents/{key}", Body=body, ContentType=kind)
        if sidecar is not None:
            raw = (
                sidecar
                if isinstance(sidecar, bytes)
                else json.dumps({"metadataAttributes": sidecar}).encode()
            )
            self.s3.put_object(Bucket=self.name, Key=f"documents/{key}.metadata.json", Body=raw)

    def remove(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=f"documents/{key}")

    def ingest(self) -> dict[str, Any]:
        """Run an ingestion job to its end. Statistics that are 0 are left out."""
        job = self.agent.start_ingestion_job(**self.ids)["ingestionJob"]
        self.state.wait()
        return self.job(job["ingestionJobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.agent.get_ingestion_job(**self.ids, ingestionJobId=job_id)[
            "ingestionJob"
        ]
        found["statistics"] = {name: number for name, number in found["statistics"].items() if number}
        return found

    def documents(self) -> dict[str, str]:
        """The status of each document, by its key."""
        found = self.agent.list_knowledge_base_documents(**self.ids)["documentDetails"]
        return {each["identifier"]["s3"]["uri"].removeprefix(self.uri("")): each["status"] for each in found}

    def stored(self) -> list[dict[str, Any]]:
        """The metadata of all vectors, each with its key as `key`."""
        found = self.vectors.list_vectors(indexArn=self.index, returnMetadata=True)["vectors"]
        return [{"key": each["key"], **each["metadata"]} for each in found]

    def retrieve(self, text: str, **search: Any) -> list[dict[str, Any]]:
        answer = self.cloud.client("bedrock-agent-runtime").retrieve(
            knowledgeBaseId=self.base_id,
            retrievalQuery={"text": text},
            retrievalConfiguration={"vectorSearchConfiguration": search},
        )
        return list(answer["retrievalResults"])


def refusal(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The status, the code and the message of an error."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    response: Any = refused.value.response
    return {"status": response["ResponseMetadata"]["HTTPStatusCode"], **response["Error"]}


def hold(case: dict[str, Any], call: Callable[..., Any], **arguments: Any) -> None:
    """Hold an answer to a row of the golden tables."""
    if case.get("taken"):
        call(**arguments)
        return
    found = refusal(call, **arguments)
    assert found["status"] == case.get("status", 400)
    assert case.get("message", "") in found["Message"]
    if "status" not in case:
        assert found["Code"] == "ValidationException"


def word(*paragraphs: str, table: tuple[str, ...] = ()) -> bytes:
    """A Word document with paragraphs, and then a table of one row."""
    from docx import Document

    document = Document()
    for text in paragraphs:
        document.add_paragraph(text)
    if table:
        cells = document.add_table(1, len(table)).rows[0].cells
        for cell, text in zip(cells, table, strict=True):
            cell.text = text
    return written(document.save)


def written(write: Callable[[io.BytesIO], Any]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()
