"""Conversion of JSON schemas to the column types of Hive, which Glue and Athena use."""

from collections.abc import Mapping
from typing import Any

SCALARS = {"string": "string", "integer": "bigint", "number": "double", "boolean": "boolean"}


class SchemaError(ValueError):
    """A JSON schema has no equivalent among Hive's types; the message names the place in the schema."""


def columns(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the Hive type of each property of an object's schema, in order. Times remain text, because
    Athena's JSON SerDe cannot read ISO 8601."""
    return {name: _type(value, schema, name) for name, value in schema["properties"].items()}


def presto(hive_type: str) -> str:
    """Return a column type in Presto's syntax, in which Athena stores the columns of a view."""
    name, bracket, rest = hive_type.partition("<")
    if not bracket:
        return "varchar" if hive_type == "string" else hive_type
    parts = _split(rest[:-1])
    if name == "struct":
        fields = (part.partition(":") for part in parts)
        return f"row({', '.join(f'{field} {presto(of)}' for field, _, of in fields)})"
    return f"{name}({', '.join(map(presto, parts))})"


def _split(types: str) -> list[str]:
    """Split types at the commas that are outside every bracket."""
    parts, depth = [""], 0
    for character in types:
        depth += (character == "<") - (character == ">")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _type(value: Mapping[str, Any], root: Mapping[str, Any], place: str) -> str:
    if "$ref" in value:
        return _type(root["$defs"][value["$ref"].removeprefix("#/$defs/")], root, place)
    if "anyOf" in value:
        options = {_type(option, root, place) for option in value["anyOf"] if option.get("type") != "null"}
        if len(options) != 1:
            raise SchemaError(
                f"{place} may be {' or '.join(sorted(options))}, but a column has only one type."
            )
        return options.pop()
    match value.get("type"):
        case "array" if "items" in value:
            return f"array<{_type(value['items'], root, f'{place}[]')}>"
        case "object" if "properties" in value:
            fields = (
                f"{name}:{_type(field, root, f'{place}.{name}')}"
                for name, field in value["properties"].items()
            )
            return f"struct<{','.join(fields)}>"
        case "object" if isinstance(value.get("additionalProperties"), dict):
            return f"map<string,{_type(value['additionalProperties'], root, f'{place}.*')}>"
        case str(name) if name in SCALARS:
            return SCALARS[name]
        case other:
            raise SchemaError(f"{place} has the type {other}, which does not define a column's type.")
