"""The cost of searching documents: an index of 100,000 passages beside its matrix product, and a knowledge base beside
the documents in memory.

Both run in the local AWS over HTTP. AWS's own times are in docs/knowledge.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from langchain_aws import BedrockEmbeddings

from checks.bench.report import absolute, entry, median_ratio, publish
from fmops.agent import KNOWLEDGE
from fmops.documents import read
from fmops.toolkit.bedrock_knowledge import BedrockKnowledgeBase
from fmops.toolkit.knowledge import PackagedDocuments, load
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.run.deploy import deploy
from local.run.synthesis import synthesize
from local.run.up import use_as_environment

PASSAGES, DIMENSION = 100_000, 1024
PUT, TOP = 500, 8
ROUNDS = 15
QUESTIONS = ("Is a stolen bicycle covered?", "What is the deductible for water damage?", "How do I complain?")
AUDIENCES = ("public", "staff", "staff-north")


def main() -> int:
    with tempfile.TemporaryDirectory() as directory, LocalAws(port=0, directory=Path(directory)) as cloud:
        synthesize(Path(directory) / "cdk.out", context={"profile": "dev"})
        outputs = deploy(cloud, Path(directory) / "cdk.out").outputs
        use_as_environment(cloud)
        searched, product = index(cloud)
        based, packaged = searches(cloud, outputs["Knowledge"])
    publish(
        {
            "documents.query_ms": entry(
                sorted(searched)[ROUNDS // 2] * 1e3,
                "ms",
                "<= 50",
                "100,000 passages of 1,024 numbers",
                ROUNDS,
            ),
            "documents.query_vs_product": entry(
                median_ratio(searched, product), "ratio", "<= 2", "the matrix product alone", ROUNDS
            ),
            "documents.search_added_ms": entry(
                (sorted(based)[len(based) // 2] - sorted(packaged)[len(packaged) // 2]) * 1e3,
                *("ms", "<= 50", "the same documents in memory", len(based)),
            ),
        },
        [
            *absolute("a query of 100,000 passages", {"QueryVectors": searched, "matrix product": product}),
            *absolute("a search", {"knowledge base": based, "in memory": packaged}),
        ],
    )
    return 0


def index(cloud: Cloud) -> tuple[list[float], list[float]]:
    """Return the seconds of a query of a large index, and those of the product of the same numbers."""
    client = cloud.client("s3vectors")
    client.create_vector_bucket(vectorBucketName="bench")
    arn = client.create_index(
        vectorBucketName="bench",
        indexName="bench",
        dataType="float32",
        dimension=DIMENSION,
        distanceMetric="cosine",
    )["indexArn"]
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((PASSAGES, DIMENSION), np.float32)
    for start in range(0, PASSAGES, PUT):
        part = [
            {
                "key": str(start + number),
                "data": {"float32": row.tolist()},
                "metadata": {"audience": AUDIENCES[number % len(AUDIENCES)]},
            }
            for number, row in enumerate(rows[start : start + PUT])
        ]
        client.put_vectors(indexArn=arn, vectors=part)
    searched, product = [], []
    for question in generator.standard_normal((ROUNDS + 1, DIMENSION), np.float32):
        asked = {"float32": question.tolist()}
        began = time.perf_counter()
        client.query_vectors(
            indexArn=arn,
            topK=TOP,
            queryVector=asked,
            filter={"audience": {"$in": list(AUDIENCES[:2])}},
            returnMetadata=True,
            returnDistance=True,
        )
        middle = time.perf_counter()
        np.argmax(rows @ question)
        searched.append(middle - began)
        product.append(time.perf_counter() - middle)
    return searched[1:], product[1:]


def searches(cloud: Cloud, outputs: Any) -> tuple[list[float], list[float]]:
    """Return the seconds of searches of the agent's documents, in the knowledge base and in memory."""
    s3 = cloud.client("s3")
    for each in read(KNOWLEDGE):
        for key, body, kind in (
            (each.sidecar_key, each.sidecar(), "application/json"),
            (each.key, each.body(), each.content_type),
        ):
            s3.put_object(Bucket=outputs["DocumentsBucketName"], Key=key, Body=body, ContentType=kind)
    asked = {"knowledgeBaseId": outputs["KnowledgeBaseId"], "dataSourceId": outputs["DataSourceId"]}
    agent = cloud.client("bedrock-agent")
    job = agent.start_ingestion_job(**asked)["ingestionJob"]["ingestionJobId"]
    while agent.get_ingestion_job(**asked, ingestionJobId=job)["ingestionJob"]["status"] != "COMPLETE":
        time.sleep(0.2)
    embeddings = BedrockEmbeddings(
        model_id="amazon.titan-embed-text-v2:0", client=boto3.client("bedrock-runtime")
    )
    base = BedrockKnowledgeBase(boto3.client("bedrock-agent-runtime"), outputs["KnowledgeBaseId"])
    memory = PackagedDocuments(load(KNOWLEDGE), embeddings)
    based, packaged = [], []
    for number in range(ROUNDS + 1):
        for question in QUESTIONS:
            text = f"{question} ({number})"  # a text that nothing has cached
            began = time.perf_counter()
            base.search(text, AUDIENCES)
            middle = time.perf_counter()
            memory.search(text + "!", AUDIENCES)
            based.append(middle - began)
            packaged.append(time.perf_counter() - middle)
    return based[len(QUESTIONS) :], packaged[len(QUESTIONS) :]


if __name__ == "__main__":
    sys.exit(main())
