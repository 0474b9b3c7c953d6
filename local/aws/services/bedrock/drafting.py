"""The stand-in model's drafts of documents: it repeats what it was given, and leaves every question open."""

from __future__ import annotations

import json
from typing import Any

MARK = "You draft a document"
"""Beginning of the instructions by which a draft is asked for."""


def draft(request: dict[str, Any]) -> str | None:
    """Return a draft, or None for a request that asks for none."""
    system = " ".join(block.get("text", "") for block in request.get("system") or [])
    if not system.startswith(MARK):
        return None
    text = " ".join(block.get("text", "") for block in request["messages"][-1]["content"])
    try:
        given = json.loads(text)
    except ValueError:
        return None
    said = given.get("corrections") or ["The documents that were given do not answer these questions."]
    questions = [f"- {each}" for each in given.get("questions", [])]
    return "\n".join(
        ["# Draft of a document", "", "\n\n".join(said), "", "## Open questions", "", *questions]
    )
