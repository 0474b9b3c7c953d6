"""The route that shows a document to whom the policies permit it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query

from fmops.assistant.caller import Caller
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Document
from fmops.assistant.route_errors import DocumentNotFoundError, DocumentsUnavailableError
from fmops.interaction import Interaction
from fmops.toolkit.authorization import Readable
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeStore, KnowledgeUnavailableError
from fmops.toolkit.retrieval import joined, permitted


def add_document_routes(app: FastAPI, store: KnowledgeStore, readable: Readable) -> None:
    """Add the route to read one document. One that a person may not read is reported as not found."""

    @app.get(
        "/v1/documents/{document_id:path}",
        **answers(Document, DocumentNotFoundError, DocumentsUnavailableError),
    )
    def document(
        document_id: Annotated[str, Path(description="Id of the document, which may hold slashes")],
        principal: Caller,
        page: Annotated[int | None, Query(ge=1, description="Page of a PDF; all passages without it")] = None,
    ) -> dict[str, Any]:
        """Show a document's passages, or those of one page, if the caller may read it, such as an answer's source."""
        context = RequestContext(principal, Interaction())
        try:
            found = store.document(document_id, readable.audiences(context), page)
        except KnowledgeUnavailableError as error:
            raise DocumentsUnavailableError from error
        passages = permitted(found, readable, context)
        if not passages:
            raise DocumentNotFoundError
        return {
            "id": document_id,
            "title": passages[0].title,
            "text": joined(passages),
            "passages": [{"page": each.page, "text": each.text} for each in passages],
        }
