"""The documents in a Bedrock knowledge base: Retrieve over vectors in S3, filtered by audience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from langchain_core.embeddings import Embeddings

from fmops.toolkit.knowledge import (
    KnowledgeDocument,
    KnowledgeStore,
    KnowledgeUnavailableError,
    PackagedDocuments,
    load,
)

PASSAGES = 8
"""Number of passages that a search returns."""
MAXIMUM_PASSAGES = 30
"""Maximum passages of a search: each may be of another document, and Verified Permissions decides 30 in one call."""
MAXIMUM_OF_DOCUMENT = 100
"""Maximum passages of one document, or of its page, that are shown (Bedrock's limit of ``numberOfResults``)."""
QUERY_CHARACTERS = 20_000
"""Maximum characters of a query (Retrieve, API Reference)."""

CHUNK = "x-amz-bedrock-kb-chunk-id"
PAGE = "x-amz-bedrock-kb-document-page-number"
"""Key of a chunk's page: a float that counts from zero, for PDFs only."""

_log = logging.getLogger(__name__)


class BedrockKnowledgeBase:
    """Search a knowledge base. ``client`` is one of ``bedrock-agent-runtime``.

    The filter of S3 Vectors ignores an operator that it does not know, so only ``equals``, ``in`` and ``andAll``
    are used, and each passage's audience is compared again.
    """

    def __init__(self, client: Any, knowledge_base_id: str, *, minimum_similarity: float = 0.0) -> None:
        self.minimum_similarity = minimum_similarity
        self._client = client
        self._id = knowledge_base_id

    def search(
        self, query: str, audiences: Sequence[str] | None, limit: int = PASSAGES
    ) -> list[tuple[KnowledgeDocument, float]]:
        """Return the nearest passages and their cosine similarity, best first."""
        found = self._retrieve(query, audiences, min(limit, MAXIMUM_PASSAGES))
        return sorted(found, key=lambda each: -each[1])

    def document(
        self, document_id: str, audiences: Sequence[str] | None, page: int | None = None
    ) -> list[KnowledgeDocument]:
        """Return at most 100 passages, by page. The index keeps no order within a page."""
        wanted = [_equals("document", document_id)]
        if page is not None:
            wanted.append(_equals(PAGE, float(page - 1)))
        found = self._retrieve(document_id, audiences, MAXIMUM_OF_DOCUMENT, wanted)
        passages = [each for each, _ in found if each.id == document_id and page in (None, each.page)]
        return sorted(passages, key=lambda each: (each.page or 0, each.passage))

    def _retrieve(
        self,
        query: str,
        audiences: Sequence[str] | None,
        limit: int,
        wanted: Sequence[Mapping[str, Any]] = (),
    ) -> list[tuple[KnowledgeDocument, float]]:
        conditions = [*wanted, *([] if audiences is None else [_one_of("audience", audiences)])]
        search: dict[str, Any] = {"numberOfResults": limit}
        if conditions:
            search["filter"] = conditions[0] if len(conditions) == 1 else {"andAll": conditions}
        try:
            answer = self._client.retrieve(
                knowledgeBaseId=self._id,
                retrievalQuery={"text": query[:QUERY_CHARACTERS]},
                retrievalConfiguration={"vectorSearchConfiguration": search},
            )
            results = [_passage(each) for each in answer["retrievalResults"]]
        except ClientError as error:
            raise _unavailable(str(error.response["Error"].get("Code", "ClientError"))) from error
        except (BotoCoreError, ResponseParserError, LookupError, TypeError, ValueError) as error:
            raise _unavailable(type(error).__name__) from error
        return [
            (passage, score)
            for passage, audience, score in filter(None, results)
            if audiences is None or audience in audiences
        ]


def choose(
    client: Callable[[], Any],
    knowledge_base_id: str,
    folder: Path,
    embeddings: Embeddings | None,
    *,
    minimum_similarity: float = 0.0,
) -> KnowledgeStore:
    """Return the knowledge base, or without an id the documents of ``folder``, which are in the image.

    ``client`` makes the client, which only a knowledge base needs; without ``embeddings``, the
    documents of the image cannot be searched. Raises ``DocumentsError``.
    """
    if knowledge_base_id:
        return BedrockKnowledgeBase(client(), knowledge_base_id, minimum_similarity=minimum_similarity)
    return PackagedDocuments(load(folder), embeddings, minimum_similarity=minimum_similarity)


def _equals(key: str, value: str | float) -> dict[str, Any]:
    return {"equals": {"key": key, "value": value}}


def _one_of(key: str, values: Sequence[str]) -> dict[str, Any]:
    return _equals(key, values[0]) if len(values) == 1 else {"in": {"key": key, "value": list(values)}}


def _passage(result: Mapping[str, Any]) -> tuple[KnowledgeDocument, str, float] | None:
    """Return a result as a passage, with its audience and score; None for one that is no text, or that was indexed
    without its sidecar."""
    facts, text = result.get("metadata", {}), result["content"].get("text", "")
    if not text or not {"document", "audience", "classification"} <= facts.keys():
        return None
    page = facts.get(PAGE)
    passage = KnowledgeDocument(
        id=str(facts["document"]),
        title=str(facts.get("title", facts["document"])),
        text=text,
        classification=str(facts["classification"]),
        region=str(facts.get("region", "")),
        page=None if page is None else int(page) + 1,
        passage=str(facts.get(CHUNK, "")),
    )
    return passage, str(facts["audience"]), float(result.get("score", 0.0))


def _unavailable(code: str) -> KnowledgeUnavailableError:
    _log.warning("the knowledge base did not answer: %s", code)
    return KnowledgeUnavailableError(code)
