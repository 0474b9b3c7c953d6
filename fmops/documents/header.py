"""A document's header: its title and who may read it, as YAML."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

REQUIRED = ("title", "classification")
FIELDS = (*REQUIRED, "region")
EXAMPLE = "title: Household theft, classification: internal, and region: north if it is for one region only"
LINE = "---"


class HeaderError(ValueError):
    """The header is missing or wrong; ``remedy`` says what to write."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Header:
    """A document's title and its readers: ``classification`` is public or internal, ``region`` is empty for all
    regions."""

    title: str
    classification: str
    region: str = ""


def split(text: str) -> tuple[str, str]:
    """Return the header and the body of a Markdown document: what is above the first line ``---``, and what is
    below it.

    A line ``---`` at the very top, as other tools write it, is passed over. Raises ``HeaderError``.
    """
    lines = text.split("\n")
    start = 1 if lines[0].rstrip() == LINE else 0
    for number in range(start, len(lines)):
        if lines[number].rstrip() == LINE:
            return "\n".join(lines[start:number]), "\n".join(lines[number + 1 :]).strip()
    raise HeaderError(
        "it has no header", f"begin the file with its header ({EXAMPLE}), then a line of three dashes"
    )


def parse(text: str) -> Header:
    """Return the header that YAML text holds. All values are text: ``region: no`` is the region "no".

    Raises ``HeaderError``, which names the field or the line.
    """
    fields = _fields(text)
    if unknown := [name for name in fields if name not in FIELDS]:
        raise HeaderError(
            f"the header has the unknown field {unknown[0][:40]!r}", f"use {', '.join(FIELDS)} only"
        )
    if missing := [name for name in REQUIRED if not fields.get(name)]:
        raise HeaderError(f"the header has no {', '.join(missing)}", f"write {EXAMPLE}")
    return Header(fields["title"], fields["classification"], fields.get("region", ""))


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a YAML mapping of texts, each value as one line. The nodes are read instead of objects,
    because PyYAML would take the last of two equal names in silence."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        remedy = 'write each line as `name: value`, and put a value with a colon in quotes: title: "Theft: bicycles"'
        raise HeaderError(f"the header{where} is not YAML", remedy) from None
    if not isinstance(node, yaml.MappingNode):
        raise HeaderError("the header is no list of names with values", f"write {EXAMPLE}")
    fields: dict[str, str] = {}
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            line = name.start_mark.line + 1
            raise HeaderError(f"the header's line {line} is no text", "write each line as `name: value`")
        if name.value in fields:
            raise HeaderError(f"the header has {name.value[:40]!r} twice", "keep the one that is meant")
        fields[name.value] = " ".join(value.value.split())
    return fields
