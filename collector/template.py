"""The collector's configuration for one deployment: `adot.yaml`, and what each option that is on changes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

BASE = Path(__file__).with_name("adot.yaml")
Option = Literal["transaction-search", "mlflow-traces"]
"""The name of a file beside this one."""


def compose(*options: Option) -> str:
    """The configuration as YAML.

    An option's file is laid over the rest: mappings merge, `null` removes, a list takes the place of the other, and
    `service.extensions` are added to.
    """
    document = _read(BASE)
    for option in options:
        change = _read(BASE.with_name(f"{option}.yaml"))
        extensions = [*document["service"]["extensions"], *change["service"].get("extensions", [])]
        document = _merged(document, change)
        document["service"]["extensions"] = extensions
    return yaml.safe_dump(document, sort_keys=False, width=200)


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    return document


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    merged = {key: _merged(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in {**base, **merged}.items() if value is not None}
