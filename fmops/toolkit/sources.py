"""Texts of retrieved documents, for jobs: records hold their ids only."""

from __future__ import annotations

from collections.abc import Callable

from fmops.interaction import RetrievedDocument
from fmops.toolkit.knowledge import KnowledgeStore
from fmops.toolkit.retrieval import joined

Sources = Callable[[RetrievedDocument], tuple[str, str] | None]
"""A function that returns the title and the text of a retrieved document, or None for one that is gone."""


def sources(store: KnowledgeStore) -> Sources:
    """Return the documents of a store, for a job that shows them only to judges and reviewers of the captured
    answers. Each page is read once.

    Calling it raises ``KnowledgeUnavailableError``.
    """
    known: dict[tuple[str, int | None], tuple[str, str] | None] = {}

    def source(retrieved: RetrievedDocument) -> tuple[str, str] | None:
        wanted = retrieved.document_id, retrieved.page
        if wanted not in known:
            passages = store.document(retrieved.document_id, None, retrieved.page)
            known[wanted] = (passages[0].title, joined(passages)) if passages else None
        return known[wanted]

    return source
