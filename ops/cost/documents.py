"""The price of publishing a thousand documents into the knowledge base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fmops.telemetry import prices as models
from ops.cost.idle import Line, Template
from ops.cost.prices import Prices

THOUSAND = 1000
PUT_BYTES = 128 * 1024
"""Bytes that S3 Vectors bills for a PUT at least (S3 pricing page, as a third party quotes it)."""
VECTORS_IN_A_PUT = 500
"""Maximum vectors of PutVectors (S3 User Guide, "S3 Vectors limitations and restrictions")."""
NUMBER_BYTES = 4


def documents(templates: Mapping[str, Template], prices: Prices) -> tuple[list[Line], list[str]]:
    """Return lines in USD for a thousand documents that are published once, and what could not be priced; nothing for
    templates without a knowledge base."""
    unpriced: list[str] = []
    lines: list[Line] = []
    for stack, template in templates.items():
        resources = {each["Type"]: each.get("Properties", {}) for each in template["Resources"].values()}
        if "AWS::Bedrock::KnowledgeBase" in resources:
            lines += _embeddings(stack, resources, prices, unpriced)
            lines += _vectors(stack, resources, prices)
            lines += _arrivals(stack, prices)
    return lines, unpriced


def _chunks(resources: Mapping[str, Any], prices: Prices) -> float:
    """Return the chunks of a thousand documents, which overlap."""
    chunking = resources["AWS::Bedrock::DataSource"]["VectorIngestionConfiguration"]["ChunkingConfiguration"]
    size = chunking["FixedSizeChunkingConfiguration"]
    new = float(size["MaxTokens"]) * (1 - float(size["OverlapPercentage"]) / 100)
    return THOUSAND * max(1.0, prices.document.pages * prices.document.page_tokens / new)


def _embeddings(
    stack: str, resources: Mapping[str, Any], prices: Prices, unpriced: list[str]
) -> Iterator[Line]:
    chunking = resources["AWS::Bedrock::DataSource"]["VectorIngestionConfiguration"]["ChunkingConfiguration"]
    tokens = _chunks(resources, prices) * chunking["FixedSizeChunkingConfiguration"]["MaxTokens"]
    base = resources["AWS::Bedrock::KnowledgeBase"]["KnowledgeBaseConfiguration"]
    arn = base["VectorKnowledgeBaseConfiguration"]["EmbeddingModelArn"]
    model_id = str(arn if isinstance(arn, str) else arn["Fn::Join"][1][-1]).rpartition("/")[2]
    price = models.prices().price(model_id)
    if price is None:
        unpriced.append(f"embedding model {model_id}: add it to fmops/telemetry/prices.toml")
    else:
        yield Line(stack, f"embedding model {model_id}", tokens * price.input / 1e6)


def _vectors(stack: str, resources: Mapping[str, Any], prices: Prices) -> Iterator[Line]:
    chunks = _chunks(resources, prices)
    dimension = resources["AWS::S3Vectors::Index"]["Dimension"]
    size = chunks * (NUMBER_BYTES * dimension + 1000 * prices.document.chunk_metadata_kb)
    # Bedrock writes each document's chunks by themselves.
    puts = THOUSAND * max(1.0, chunks / THOUSAND / VECTORS_IN_A_PUT)
    billed = max(size, puts * PUT_BYTES)
    yield Line(stack, "vectors, written", billed / 1e9 * prices.of("s3vectors", "put_gb"))
    yield Line(stack, "vectors, kept for a month", size / 1e9 * prices.of("s3vectors", "gb_month"))


def _arrivals(stack: str, prices: Prices) -> Iterator[Line]:
    # The document, its sidecar, and its vectors for the analysis.
    yield Line(stack, "objects in S3", 3 * prices.of("s3", "thousand_puts"))
    # Two events; events of AWS services are free, and each message is sent, received and deleted.
    yield Line(stack, "messages in SQS", 2 * 3 * THOUSAND / 1e6 * prices.of("sqs", "million_requests"))
    seconds = prices.document.thousand_seconds
    yield Line(stack, "function that checks the ingestion", seconds * prices.of("lambda", "arm64_gb_second"))
