"""Retrieval for a search tool: passages that are found, may be read and pass the guardrails, recorded, counted and
traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry import trace

from fmops.guardrails import Direction, GuardrailEngine
from fmops.interaction import RetrievedDocument
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.toolkit.authorization import Readable
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeDocument, KnowledgeStore, KnowledgeUnavailableError

Found = list[tuple[KnowledgeDocument, float]]
"""Passages with their similarity, best first."""

_tracer = trace.get_tracer(__name__)


def search(
    query: str,
    context: RequestContext,
    knowledge: KnowledgeStore,
    readable: Readable,
    guardrails: GuardrailEngine,
    *,
    data_source: str,
) -> list[dict[str, str]]:
    """Return ``id``, ``title`` and ``text`` of the documents, best first; the text is that of the passages found.

    Each passage is vetted alone, so that a bad one does not affect the others. Raises
    ``KnowledgeUnavailableError``.
    """
    described = {names.GEN_AI_OPERATION: "retrieval", names.GEN_AI_DATA_SOURCE: data_source}
    with _tracer.start_as_current_span(f"retrieval {data_source}", attributes=described) as span:
        try:
            found = knowledge.search(query, readable.audiences(context))
        except KnowledgeUnavailableError:
            _count("unavailable")
            raise
        near = [hit for hit in found if hit[1] >= knowledge.minimum_similarity]
        _count("found" if near else "nothing", found[0][1] if found else None)
        may_read = permitted([passage for passage, _ in near], readable, context)
        hits = _vetted([hit for hit in near if hit[0] in may_read], guardrails)
        documents = merged([passage for passage, _ in hits])
        span.set_attribute(names.RETRIEVAL_FOUND, len({passage.id for passage, _ in found}))
        span.set_attribute(names.RETRIEVAL_READABLE, len(documents))
    context.interaction.retrieved += _recorded(hits)
    return [{"id": each[0].id, "title": each[0].title, "text": joined(each)} for each in documents]


def _recorded(hits: Found) -> list[RetrievedDocument]:
    """Return each page of a document once, with its best passage's similarity."""
    best: dict[tuple[str, int | None], tuple[KnowledgeDocument, float]] = {}
    for passage, score in hits:
        best.setdefault((passage.id, passage.page), (passage, score))
    return [
        RetrievedDocument(document_id=each.id, score=round(score, 4), page=each.page, title=each.title)
        for each, score in best.values()
    ]


def merged(passages: Sequence[KnowledgeDocument]) -> list[list[KnowledgeDocument]]:
    """Return passages by document: a document stands where its first passage stood, with its passages by page."""
    by_document: dict[str, list[KnowledgeDocument]] = {}
    for each in passages:
        by_document.setdefault(each.id, []).append(each)
    return [sorted(each, key=lambda passage: passage.page or 0) for each in by_document.values()]


def joined(passages: Sequence[KnowledgeDocument]) -> str:
    """Return the text of a document's passages, each with its page in front if it has one."""
    return "\n\n".join(f"[page {each.page}] {each.text}" if each.page else each.text for each in passages)


def permitted(
    passages: Sequence[KnowledgeDocument], readable: Readable, context: RequestContext
) -> list[KnowledgeDocument]:
    """Return the passages of documents that the caller may read, after one decision per document.

    While a document is indexed again, old and new passages may say different things of who may read it; those that
    differ from the one that was decided on are left out.
    """
    first: dict[str, KnowledgeDocument] = {}
    for each in passages:
        first.setdefault(each.id, each)
    decided = dict(zip(first, readable(list(first.values()), context), strict=True))
    return [each for each in passages if decided[each.id] and _facts(each) == _facts(first[each.id])]


def _facts(passage: KnowledgeDocument) -> tuple[str, str]:
    return passage.classification, passage.region


def _vetted(found: Found, guardrails: GuardrailEngine) -> Found:
    outcomes = guardrails.check_all_sync([passage.text for passage, _ in found], Direction.RETRIEVED)
    return [
        (replace(passage, text=outcome.text), score)
        for (passage, score), outcome in zip(found, outcomes, strict=True)
        if not outcome.blocked
    ]


def _count(outcome: str, similarity: float | None = None) -> None:
    instruments().retrieval_searches.add(1, {names.RETRIEVAL_OUTCOME: outcome})
    if similarity is not None:
        instruments().retrieval_similarity.record(similarity)
