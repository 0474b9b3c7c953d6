"""The collector's configuration for one deployment: `adot.yaml`, and what each option that is on changes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import yaml

BASE = Path(__file__).with_name("adot.yaml")
Option = Literal["transaction-search", "mlflow-traces"]
"""The name of a file beside this one."""


QUEUES = {"prometheusremotewrite": "remote_write_queue", "otlphttp": "sending_queue"}
"""What the exporters that have a queue call it."""


def compose(*options: Option, waits: bool = True) -> str:
    """The configuration as YAML.

    Without ``waits`` it is one for a process that is frozen when its application has answered, and thrown away without a word, as on
    Lambda: no batches, no queues, and no tail sampling, so that who sends is answered when AWS has taken it.

    An option's file is laid over the rest: mappings merge, `null` removes, a list takes the place of the other, and
    `service.extensions` are added to.
    """
    document = _read(BASE)
    for option in options:
        change = _read(BASE.with_name(f"{option}.yaml"))
        extensions = [*document["service"]["extensions"], *change["service"].get("extensions", [])]
        document = _merged(document, change)
        document["service"]["extensions"] = extensions
    if not waits:
        document = _at_once(document)
    return yaml.safe_dump(document, sort_keys=False, width=200)


def named(text: str) -> list[Option]:
    """The options that a variable names, with commas between them. ``KeyError`` for one that there is not."""
    known: dict[str, Option] = {option: option for option in get_args(Option)}
    return [known[name] for name in text.split(",") if name]


def _at_once(document: dict[str, Any]) -> dict[str, Any]:
    """All traces are kept: to choose among them by how they end takes time."""
    for pipeline in document["service"]["pipelines"].values():
        pipeline["processors"] = [
            each for each in pipeline["processors"] if each.split("/")[0] not in ("batch", "tail_sampling")
        ]
    for name, exporter in document["exporters"].items():
        if queue := QUEUES.get(name.split("/")[0]):
            exporter[queue] = {"enabled": False}
    return document


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    return document


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    merged = {key: _merged(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in {**base, **merged}.items() if value is not None}
