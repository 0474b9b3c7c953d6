"""Citations of an answer, as OpenAI's ``annotations``: which documents it was made from, and where to read them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from fmops.interaction import Interaction, RetrievedDocument

DOCUMENTS = "/v1/documents/"
"""Path of the route that shows a document to whom the policies permit it."""


def address(document_id: str, page: int | None = None) -> str:
    """Return the path and query at which a document is shown, or the passages of one page."""
    return DOCUMENTS + quote(document_id, safe="/") + (f"?page={page}" if page else "")


def citations(interaction: Interaction, answer: str) -> list[dict[str, Any]]:
    """Return a ``url_citation`` for each page, or document without pages, that the model was given, best first.

    Its range is where the answer first mentions the document's title or id, and the whole answer if it does not.
    Indices count the characters (code points) of ``answer``, which is the text as the caller gets it. A withheld
    answer cites nothing.
    """
    if not answer or interaction.finish_reason == "content_filter":
        return []
    cited: dict[tuple[str, int | None], RetrievedDocument] = {}
    for each in sorted(interaction.retrieved, key=lambda each: -each.score):
        cited.setdefault((each.document_id, each.page), each)
    return [{"type": "url_citation", "url_citation": _citation(each, answer)} for each in cited.values()]


def _citation(retrieved: RetrievedDocument, answer: str) -> dict[str, Any]:
    start, end = _mention(retrieved, answer) or (0, len(answer))
    return {
        "start_index": start,
        "end_index": end,
        "title": retrieved.title or retrieved.document_id,
        "url": address(retrieved.document_id, retrieved.page),
    }


def _mention(retrieved: RetrievedDocument, answer: str) -> tuple[int, int] | None:
    """Return the range of the first mention of a document, as whole words in upper or lower case."""
    for name in filter(None, (retrieved.title, retrieved.document_id)):
        if found := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", answer, re.IGNORECASE):
            return found.span()
    return None
