"""Stand-ins: resources that are only names. Their Ref and attributes follow the provider schemas
that cfn-lint bundles."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

MARK = (
    "local-stand-in"  # in every value, so that the runner can refuse to start a process that depends on one
)


@functools.cache
def _schema_index() -> dict[str, str]:
    index: dict[str, str] = json.loads((_schemas() / "providers" / "us-east-1.json").read_text())
    return index


def _schemas() -> Path:
    # Found through its spec, since importing cfn-lint takes a second.
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise LookupError("cfn-lint is not installed: its provider schemas describe the stand-ins")
    return Path(spec.origin).parent / "data" / "schemas"


@functools.cache
def schema(resource_type: str) -> dict[str, Any]:
    """Return the provider schema of a type, which is empty for custom resources and unknown types."""
    name = _schema_index().get(resource_type)
    if name is None:
        return {}
    loaded: dict[str, Any] = json.loads((_schemas() / "resources" / f"{name}.json").read_text())
    return loaded


def attribute_names(resource_type: str) -> set[str]:
    return {
        path.removeprefix("/properties/").replace("/", ".")
        for path in schema(resource_type).get("readOnlyProperties", [])
    }


def reference(resource_type: str, properties: dict[str, Any], name: str) -> str:
    """Return the value of Ref: the primary identifier, from the template if it is a property there."""
    parts = []
    for path in schema(resource_type).get("primaryIdentifier", []):
        value = properties.get(path.removeprefix("/properties/"))
        parts.append(str(value) if isinstance(value, str) else f"{MARK}-{name}")
    return "|".join(parts) or f"{MARK}-{name}"


def attribute(resource_type: str, attribute_name: str, name: str, region: str, account: str) -> str:
    service, kind = [*resource_type.lower().split("::"), "", ""][1:3]
    if attribute_name.endswith("Arn"):
        return f"arn:aws:{service}:{region}:{account}:{kind}/{MARK}-{name}"
    if attribute_name.endswith(("Endpoint", "Url", "URL")):
        return f"{MARK}-{name}.{service}.{region}.invalid"
    return f"{MARK}-{name}-{attribute_name}"
