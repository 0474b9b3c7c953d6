"""The documents that the assistant answers from, as tools see them: passages, found by embedding similarity."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from fmops import documents
from fmops.documents import DocumentsError, Header, Refusal, types

PUBLIC = "public"
"""Audience of documents for everyone who is signed in."""
DOCUMENTS = 4
"""Number of packaged documents that a search returns."""


class KnowledgeUnavailableError(Exception):
    """The documents cannot be read now; ``code`` says why, without content."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the documents cannot be read now ({code})")
        self.code = code


@dataclass(frozen=True)
class KnowledgeDocument:
    """A passage of a document, and who may read it: ``classification`` is public or internal, ``region`` is empty
    for all regions. A packaged document is one passage."""

    id: str
    title: str
    text: str
    classification: str
    region: str = ""
    page: int | None = None
    """Page of a PDF on which the passage begins, from 1 on."""
    passage: str = ""
    """Id of the passage in the index; empty for a packaged document."""

    @property
    def audience(self) -> str:
        """Return the one value by which searches are filtered."""
        return documents.audience(Header(self.title, self.classification, self.region))


class KnowledgeStore(Protocol):
    """The documents, each as its passages.

    ``audiences`` narrows what is found; it permits nothing, since Verified Permissions decides each document. None
    stands for all of them, for jobs that show nobody what they find. Its methods raise
    ``KnowledgeUnavailableError``.
    """

    minimum_similarity: float
    """Similarity below which a passage is not given to the model."""

    def search(
        self, query: str, audiences: Sequence[str] | None, limit: int = ...
    ) -> list[tuple[KnowledgeDocument, float]]:
        """Return the nearest passages and their cosine similarity, best first."""
        ...

    def document(
        self, document_id: str, audiences: Sequence[str] | None, page: int | None = None
    ) -> list[KnowledgeDocument]:
        """Return a document's passages, or those that begin on one ``page``; none for a document that is not
        there."""
        ...


def load(directory: Path) -> list[KnowledgeDocument]:
    """Return the documents of a folder, each as one passage. Only Markdown and plain text can be packaged.

    Raises ``DocumentsError``, which names every file that is refused.
    """
    files = documents.read(directory)
    refused = [
        Refusal(
            each.source, each.path.stat().st_size, "the image holds no parser for it", "publish it instead"
        )
        for each in files
        if each.extension not in types.TEXT
    ]
    if refused:
        raise DocumentsError(refused)
    return [
        KnowledgeDocument(
            each.id, each.header.title, each.body().decode(), each.header.classification, each.header.region
        )
        for each in files
    ]


class PackagedDocuments:
    """The documents of the image, which are embedded at the first search, in one place and once.

    Without ``embeddings`` they can be read, but not searched.
    """

    def __init__(
        self,
        packaged: Sequence[KnowledgeDocument],
        embeddings: Embeddings | None,
        *,
        minimum_similarity: float = 0.0,
    ) -> None:
        self.minimum_similarity = minimum_similarity
        self._documents = {document.id: document for document in packaged}
        self._embeddings = embeddings
        self._lock = threading.Lock()
        self._store: InMemoryVectorStore | None = None

    def search(
        self, query: str, audiences: Sequence[str] | None, limit: int = DOCUMENTS
    ) -> list[tuple[KnowledgeDocument, float]]:
        """Return the nearest documents and their cosine similarity, best first."""
        found = self._index().similarity_search_with_score(
            query, k=limit, filter=lambda each: audiences is None or each.metadata["audience"] in audiences
        )
        return [(self._documents[str(document.id)], score) for document, score in found]

    def document(
        self, document_id: str, audiences: Sequence[str] | None, page: int | None = None
    ) -> list[KnowledgeDocument]:
        """Return the document as its one passage, which is on no page."""
        found = self._documents.get(document_id)
        readable = found is not None and (audiences is None or found.audience in audiences)
        return [found] if found and readable and page is None else []

    def _index(self) -> InMemoryVectorStore:
        with self._lock:
            if self._store is None:
                if self._embeddings is None:
                    raise ValueError("these documents are not searched: give the model that embeds them")
                store = InMemoryVectorStore(self._embeddings)
                store.add_documents(
                    [
                        Document(
                            id=item.id,
                            page_content=f"{item.title}\n{item.text}",
                            metadata={"audience": item.audience},
                        )
                        for item in self._documents.values()
                    ]
                )
                self._store = store
            return self._store
