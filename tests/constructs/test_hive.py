"""Columns of Hive from a JSON schema."""

from typing import Any

import pytest
from constructs import hive


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "bigint"),
        ({"type": "number"}, "double"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "bigint"),
        ({"type": "array", "items": {"type": "number"}}, "array<double>"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map<string,bigint>"),
        ({"$ref": "#/$defs/Span"}, "struct<begin:bigint,label:string>"),
        ({"type": "array", "items": {"$ref": "#/$defs/Span"}}, "array<struct<begin:bigint,label:string>>"),
    ],
)
def test_type(schema: dict[str, Any], expected: str) -> None:
    span = {"type": "object", "properties": {"begin": {"type": "integer"}, "label": {"type": "string"}}}
    assert hive.columns({"$defs": {"Span": span}, "properties": {"column": schema}}) == {"column": expected}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "column has the type None"),
        ({"type": "array"}, "column has the type array"),
        ({"type": "object"}, "column has the type object"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "column may be bigint or string"),
        ({"type": "array", "items": {}}, r"column\[\] has the type None"),
    ],
)
def test_what_has_no_column_type_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(hive.SchemaError, match=message):
        hive.columns({"properties": {"column": schema}})
