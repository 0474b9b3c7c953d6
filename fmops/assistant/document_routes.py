"""The route that shows a document of the knowledge base to whom the policies permit it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from fmops.assistant.caller import Caller
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Document
from fmops.assistant.route_errors import DocumentNotFoundError
from fmops.interaction import Interaction
from fmops.toolkit.authorization import Readable
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeDocument


def add_document_routes(app: FastAPI, documents: Sequence[KnowledgeDocument], readable: Readable) -> None:
    """Add the route to read one document. One that a person may not read is reported as not found."""
    by_id = {document.id: document for document in documents}

    @app.get("/v1/documents/{document_id}", **answers(Document, DocumentNotFoundError))
    def document(document_id: str, principal: Caller) -> dict[str, str]:
        """Show a document of the knowledge base that the caller may read, such as an answer's source."""
        found = by_id.get(document_id)
        if found is None or not all(readable([found], RequestContext(principal, Interaction()))):
            raise DocumentNotFoundError
        return {"id": found.id, "title": found.title, "text": found.text}
