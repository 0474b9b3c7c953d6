"""The knowledge base: the agent's documents, found by embedding similarity."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from fmops import documents


@dataclass(frozen=True)
class KnowledgeDocument:
    """A document and who may read it: ``classification`` is public or internal, ``region`` is empty for all
    regions."""

    id: str
    title: str
    text: str
    classification: str
    region: str = ""


def load(directory: Path) -> list[KnowledgeDocument]:
    """Return the documents of a folder. Raises ``DocumentsError``, which names every file that is refused."""
    return [
        KnowledgeDocument(
            each.id, each.header.title, each.body().decode(), each.header.classification, each.header.region
        )
        for each in documents.read(directory)
    ]


class KnowledgeBase:
    """Search documents, which are embedded at the first search, in one place and once."""

    def __init__(self, documents: Sequence[KnowledgeDocument], embeddings: Embeddings) -> None:
        self._documents = {document.id: document for document in documents}
        self._embeddings = embeddings
        self._lock = threading.Lock()
        self._store: InMemoryVectorStore | None = None

    def search(self, query: str, limit: int = 4) -> list[tuple[KnowledgeDocument, float]]:
        """Return the nearest documents and their cosine similarity, best first."""
        found = self._index().similarity_search_with_score(query, k=limit)
        return [(self._documents[str(document.id)], score) for document, score in found]

    def _index(self) -> InMemoryVectorStore:
        with self._lock:
            if self._store is None:
                store = InMemoryVectorStore(self._embeddings)
                store.add_documents(
                    [
                        Document(id=item.id, page_content=f"{item.title}\n{item.text}")
                        for item in self._documents.values()
                    ]
                )
                self._store = store
            return self._store
