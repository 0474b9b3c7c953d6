"""A document's sidecar, ``<key>.metadata.json``: the attributes that a knowledge base keeps with each chunk."""

from __future__ import annotations

import json
from typing import Any

from fmops.documents.header import Header

PREFIX = "documents/"
"""Prefix of the bucket's keys that the knowledge base reads."""
SUFFIX = ".metadata.json"
MAXIMUM_BYTES = 1024
"""Largest sidecar that Bedrock reads. Its documentation says 10 KB, but a document with a larger sidecar than this is
left out of the index, and the job still ends as complete."""


def audience(header: Header) -> str:
    """Return the one value by which retrieval is filtered: ``public``, ``staff``, or ``staff-<region>``.

    Any classification but "public" is for staff, so that a misspelt one is never public.
    """
    if header.classification == "public":
        return "public"
    return f"staff-{header.region}" if header.region else "staff"


def sidecar(header: Header, document_id: str, source: str) -> bytes:
    """Return the serialized sidecar; ``source`` is the file's path below the published folder."""
    attributes = {
        "audience": audience(header),
        "classification": header.classification,
        "document": document_id,
        "region": header.region,
        "source": source,
        "title": header.title,
    }
    present = {name: value for name, value in attributes.items() if value}
    return json.dumps({"metadataAttributes": present}, ensure_ascii=False, separators=(",", ":")).encode()


def audience_of(stored: bytes) -> str:
    """Return the audience that a stored sidecar gives its document, or nothing for one that cannot be read."""
    try:
        attributes: Any = json.loads(stored)["metadataAttributes"]
        return str(attributes["audience"])
    except (ValueError, LookupError, TypeError):
        return ""
