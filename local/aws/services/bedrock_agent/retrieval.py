"""Retrieve: QueryVectors under the role of the knowledge base.

Sources: "Query a knowledge base and retrieve data" and "Configure and customize queries" of the user guide, botocore's
documentation of RetrievalFilter, and the notes of AWS's agent toolkit on S3 vector buckets, where ``startsWith`` and
``stringContains`` are ignored without a word.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from local.aws.kernel.api import Context, NotImplementedHere, Params, validation_error
from local.aws.kernel.constraints import constrained
from local.aws.kernel.pages import token_number
from local.aws.services.bedrock_agent.ingestion import DETAILS, SOURCE_URI, TEXT
from local.aws.services.bedrock_agent.role import BaseRole, said
from local.aws.services.bedrock_agent.state import INVALID_TOKEN, RUNTIME, KnowledgeBase, find_base

DEFAULT_RESULTS = 5
MAX_RESULTS = 100
"""The most that one query of an index answers, and with it all pages of a retrieval together."""
CHUNK_ID = "x-amz-bedrock-kb-chunk-id"
COMPARED = {
    "equals": "$eq",
    "notEquals": "$ne",
    "greaterThan": "$gt",
    "greaterThanOrEquals": "$gte",
    "lessThan": "$lt",
    "lessThanOrEquals": "$lte",
    "in": "$in",
    "listContains": "$eq",
}
JOINED = {"andAll": "$and", "orAll": "$or"}
IGNORED = ("startsWith", "stringContains")
NOT_HERE = ("implicitFilterConfiguration", "rerankingConfiguration")

checked = partial(constrained, RUNTIME, error="ValidationException")


@checked("Retrieve")
def retrieve(params: Params, context: Context) -> Params:
    base = find_base(params, context)
    search = _search(params, base)
    count = search.get("numberOfResults") or DEFAULT_RESULTS
    start = token_number(params.get("nextToken"), INVALID_TOKEN)
    end = min(start + count, MAX_RESULTS)
    found = _query(
        BaseRole(context.cloud, base), _text(params), min(end + 1, MAX_RESULTS), search.get("filter")
    )
    more = str(end) if len(found["vectors"]) > end else None
    metric = found["distanceMetric"]
    return {
        "retrievalResults": [_result(each, metric) for each in found["vectors"][start:end]],
        "nextToken": more,
    }


def _search(params: Params, base: KnowledgeBase) -> Params:
    """The search configuration. Raises for what Bedrock refuses, and for what is not here."""
    if params.get("guardrailConfiguration"):
        raise NotImplementedHere("guardrailConfiguration of Retrieve; call ApplyGuardrail")
    configuration = params.get("retrievalConfiguration") or {}
    if configuration.get("managedSearchConfiguration") is not None:
        raise validation_error(
            "managedSearchConfiguration is not supported for knowledge bases of type VECTOR"
        )
    search: Params = configuration.get("vectorSearchConfiguration") or {}
    for name in NOT_HERE:
        if search.get(name):
            raise NotImplementedHere(f"{name} of Retrieve")
    if search.get("overrideSearchType") == "HYBRID":
        message = f"HYBRID search type is not supported for search operation on index {base.base_id}"
        raise validation_error(message)
    return search


def _text(params: Params) -> str:
    query = params["retrievalQuery"]
    if query.get("type", "TEXT") != "TEXT" or query.get("image"):
        raise NotImplementedHere("queries by image")
    text: str = query.get("text") or ""
    if not text.strip():
        raise validation_error("The retrieval query has no text")
    return text


def _query(role: BaseRole, text: str, top: int, condition: Params | None) -> Params:
    """The nearest vectors, under the base's role."""
    document = translated(condition) if condition else None
    try:
        embedding = role.embed(text)
    except ClientError as error:
        raise validation_error(
            f"Knowledge base role {role.base.role_arn} is not able to call specified bedrock embedding model "
            f"{role.base.model_arn}: {said(error, 'bedrock-runtime')}"
        ) from error
    try:
        found: Params = role.client("s3vectors").query_vectors(
            indexArn=role.base.index_arn,
            queryVector={"float32": embedding},
            topK=top,
            returnMetadata=True,
            returnDistance=True,
            **({"filter": document} if document else {}),
        )
    except ClientError as error:
        message = f"The vector database encountered an error while processing the request: {said(error, 's3vectors')}"
        raise validation_error(message) from error
    return found


def translated(condition: Params) -> Params | None:
    """Return a retrieval filter as a filter of S3 Vectors, or None when nothing of it is left.

    An ignored operator is left out of its list, as if it were not there.
    """
    ((name, operand),) = ((key, value) for key, value in condition.items() if value is not None)
    if name in IGNORED:
        return None
    if name in JOINED:
        parts = [part for part in map(translated, operand) if part is not None]
        return {JOINED[name]: parts} if parts else None
    key, value = operand["key"], operand["value"]
    if name == "notIn":
        # "an attribute whose name matches the key and whose value isn't in the list"
        return {key: {"$exists": True, "$nin": value}}
    return {key: {COMPARED[name]: value}}


def _result(found: Params, metric: str) -> Params:
    metadata: dict[str, Any] = dict(found.get("metadata") or {})
    text, _ = metadata.pop(TEXT, ""), metadata.pop(DETAILS, None)
    location = {"type": "S3", "s3Location": {"uri": metadata.get(SOURCE_URI)}}
    return {
        "content": {"type": "TEXT", "text": text},
        "location": location,
        "metadata": {**metadata, CHUNK_ID: found["key"]},
        "score": score(found["distance"], metric),
    }


def score(distance: float, metric: str) -> float:
    """Return how near a chunk is, 1 for the nearest.

    Bedrock does not document it. For cosine it is the similarity, 1 - distance; for Euclidean distances it is
    1 / (1 + distance), as elsewhere for distances without an upper bound.
    """
    return 1.0 - distance if metric == "cosine" else 1.0 / (1.0 + distance)
