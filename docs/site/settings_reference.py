"""Write the generated part of docs/settings.md: ``python -m docs.site.settings_reference``."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import settings
from docs.site.generated import update
from settings import Section, Settings

PAGE = Path(__file__).parents[1] / "settings.md"
Schema = Mapping[str, Any]
SECTIONS = {each.__name__ for each in Section.__subclasses__()}


def docstrings() -> dict[tuple[str, str], str]:
    """Return the docstring below each field, by class and field; below the empty name, the class's own."""
    found: dict[tuple[str, str], str] = {}
    for file in Path(settings.__file__).parent.glob("*.py"):
        for section in ast.parse(file.read_text("utf-8")).body:
            if not isinstance(section, ast.ClassDef):
                continue
            found[section.name, ""] = " ".join((ast.get_docstring(section) or "").split())
            for field, text in zip(section.body, section.body[1:], strict=False):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                        value=ast.Constant(value=str(words))
                    ):
                        found[section.name, name] = " ".join(words.split())
    return found


def tables() -> str:
    """Return a table of settings for each section."""
    schema = Settings.model_json_schema()
    words = docstrings()
    lines: list[str] = []
    for path, section in sections(schema, "Settings", ""):
        lines += [f"## {path or 'At the top'}", "", words[section["title"], ""], ""]
        lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", ())
        lines += [
            f"| `{name}` | {kind(value)} | {default(value, required=name in required)} "
            f"| {meaning(words, section['title'], name, value, path)} |"
            for name, value in section["properties"].items()
        ]
        lines.append("")
    return "\n".join(lines).strip()


def sections(root: Schema, name: str, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield a section and those below it, each with its path, such as ``identity.sign_in``."""
    section = root if name == "Settings" else root["$defs"][name]
    yield path, section
    for field, value in section["properties"].items():
        if below := section_of(value):
            name, suffix = below
            yield from sections(root, name, f"{path}.{field}{suffix}".lstrip("."))


def section_of(value: Schema) -> tuple[str, str] | None:
    """Return the name of the section that a field holds, and what its path adds for lists and mappings."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return (name, "") if name in SECTIONS else None
    places = [("", each) for each in value.get("anyOf", ())]
    places += [("[]", value.get("items")), (".NAME", value.get("additionalProperties"))]
    for suffix, place in places:
        if isinstance(place, Mapping) and (below := section_of(place)):
            return below[0], suffix + below[1]
    return None


def kind(value: Schema) -> str:
    """Return a field's type in words."""
    if "$ref" in value:
        return "section" if section_of(value) else "any JSON value"
    if "anyOf" in value:
        options = [each for each in value["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(map(kind, options)))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{each}`" for each in value.get("enum", [value.get("const")]))
    match value.get("type"):
        case "array":
            items = value.get("items") or (value.get("prefixItems") or [{}])[0]
            return f"list of {kind(items)}"
        case "object":
            of = value.get("additionalProperties")
            return f"mapping to {kind(of)}" if isinstance(of, Mapping) and of else "mapping"
        case "integer" | "number" as name:
            word = "whole number" if name == "integer" else "number"
            bounds = [
                f"{sign} {value[key]}"
                for key, sign in (
                    ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")
                )
                if key in value
            ]  # fmt: skip
            return " ".join([word, *bounds])
        case "boolean":
            return "true or false"
        case "string":
            if "pattern" in value:
                return f"text `{value['pattern']}`".replace("|", "\\|")
            return "address range" if "ip" in value.get("format", "") else "text"
        case _:
            return "any value"


def default(value: Schema, *, required: bool) -> str:
    """Return a field's default."""
    if required:
        return "required"
    given = value.get("default")
    if given is None:
        return "none"
    return "its own defaults" if section_of(value) and given else f"`{json.dumps(given, ensure_ascii=False)}`"


def meaning(words: Mapping[tuple[str, str], str], section: str, name: str, value: Schema, path: str) -> str:
    """Return what a field says about itself; a section has a table of its own."""
    below = section_of(value)
    told = words.get((section, name), "")
    if below:
        place = f"{path}.{name}{below[1]}".lstrip(".")
        anchor = "".join(each for each in place.lower() if each.isalnum() or each in "_-")
        told = f"{told} See [{place}](#{anchor}).".strip()
    return told.replace("|", "\\|")


def parts() -> dict[str, str]:
    """Return the generated part by name."""
    return {"settings": tables()}


if __name__ == "__main__":
    update(PAGE, parts())
