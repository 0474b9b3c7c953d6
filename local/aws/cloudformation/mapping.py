"""Conversion of CloudFormation properties to the input of an API operation: names match regardless of case, and
values are coerced to the shape."""

from __future__ import annotations

import json
from typing import Any

Properties = dict[str, Any]


def to_input(shape: Any, value: Any, path: str, dropped: list[str]) -> Any:
    """Return `value` in the form of the botocore shape, and add what the operation has no member for to
    `dropped`.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = {name.lower(): (name, member) for name, member in shape.members.items()}
        mapped = {}
        for key, each in value.items():
            if key.lower() not in members:
                dropped.append(f"{path}.{key}")
                continue
            name, member = members[key.lower()]
            mapped[name] = to_input(member, each, f"{path}.{key}", dropped)
        return mapped
    if kind == "list" and isinstance(value, list):
        return [to_input(shape.member, each, path, dropped) for each in value]
    if kind == "map" and isinstance(value, list):  # tags are CloudFormation's list of Key and Value
        return {each["Key"]: each["Value"] for each in value}
    if kind == "map" and isinstance(value, dict):
        return {key: to_input(shape.value, each, path, dropped) for key, each in value.items()}
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> Any:
    if kind in ("integer", "long") and isinstance(value, str):
        return int(value)
    if kind in ("float", "double") and isinstance(value, str):
        return float(value)
    if kind == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    if kind == "string" and isinstance(value, int | float):
        return str(value)
    if kind == "string" and isinstance(value, dict | list):
        return json.dumps(value)
    return value
