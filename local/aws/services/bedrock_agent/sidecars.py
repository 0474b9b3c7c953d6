"""Metadata files beside documents: ``<key>.metadata.json``.

Sources: "Include metadata in a data source" of Bedrock's user guide; reports from the service about what it refuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SUFFIX = ".metadata.json"
MAX_BYTES = 1024
"""Maximum size of a sidecar for ingestion into S3 Vectors. The user guide says 10 KB."""
MAX_KEYS = 35
MEMBERS = {"STRING": "stringValue", "NUMBER": "numberValue", "BOOLEAN": "booleanValue"}


class InvalidSidecar(Exception):  # noqa: N818 - an answer
    """A metadata file that Bedrock does not take."""


@dataclass(frozen=True)
class Attributes:
    """A document's metadata, and the names of those that are embedded with its text."""

    values: dict[str, str | float | bool]
    embedded: tuple[str, ...] = ()

    def with_text(self, text: str) -> str:
        """Return what is embedded for a chunk."""
        return "\n".join([*(f"{name}: {self.values[name]}" for name in self.embedded), text])


def read(body: bytes) -> Attributes:
    """Return the attributes of a metadata file, in the plain or the typed form. InvalidSidecar for any other."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise InvalidSidecar("it is no JSON") from error
    given = document.get("metadataAttributes") if isinstance(document, dict) else None
    if not isinstance(given, dict) or len(given) > MAX_KEYS:
        raise InvalidSidecar(f"metadataAttributes must be an object with at most {MAX_KEYS} keys")
    values = {name: _value(each) for name, each in given.items()}
    embedded = (
        name for name, each in given.items() if isinstance(each, dict) and each.get("includeForEmbedding")
    )
    return Attributes(values, tuple(embedded))


def _value(given: Any) -> str | float | bool:
    if isinstance(given, dict):
        typed = given.get("value")
        member = MEMBERS.get(str(typed.get("type"))) if isinstance(typed, dict) else None
        if not isinstance(typed, dict) or member is None:
            raise InvalidSidecar("a typed value is a STRING, a NUMBER or a BOOLEAN")
        given = typed.get(member)
    # S3 Vectors takes lists, and Bedrock does not store them there.
    if not isinstance(given, str | int | float) or given == "":
        raise InvalidSidecar("a value must be a string that is not empty, a number or a boolean")
    return given
