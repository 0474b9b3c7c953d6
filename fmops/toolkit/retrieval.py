"""Retrieval for a search tool: documents that are found, may be read and pass the guardrails, recorded and
traced.
"""

from __future__ import annotations

from dataclasses import replace

from opentelemetry import trace

from fmops.guardrails import Direction, GuardrailEngine
from fmops.interaction import RetrievedDocument
from fmops.telemetry import attributes as names
from fmops.toolkit.authorization import Readable
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeBase

_tracer = trace.get_tracer(__name__)


def search(
    query: str,
    context: RequestContext,
    knowledge: KnowledgeBase,
    readable: Readable,
    guardrails: GuardrailEngine,
    *,
    data_source: str,
) -> list[dict[str, str]]:
    """Return ``id``, ``title`` and ``text`` of the documents, best first.

    Each is vetted alone, so that a bad one does not affect the others.
    """
    described = {names.GEN_AI_OPERATION: "retrieval", names.GEN_AI_DATA_SOURCE: data_source}
    with _tracer.start_as_current_span(f"retrieval {data_source}", attributes=described) as span:
        found = knowledge.search(query)
        allowed = readable([document for document, _ in found], context)
        permitted = [hit for hit, may_read in zip(found, allowed, strict=True) if may_read]
        outcomes = guardrails.check_all_sync([item.text for item, _ in permitted], Direction.RETRIEVED)
        hits = [
            (replace(item, text=outcome.text), score)
            for (item, score), outcome in zip(permitted, outcomes, strict=True)
            if not outcome.blocked
        ]
        span.set_attributes({names.RETRIEVAL_FOUND: len(found), names.RETRIEVAL_READABLE: len(hits)})
    context.interaction.retrieved += [
        RetrievedDocument(document_id=document.id, score=round(score, 4), title=document.title)
        for document, score in hits
    ]
    return [{"id": item.id, "title": item.title, "text": item.text} for item, _ in hits]
