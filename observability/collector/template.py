"""The collector's configuration for one deployment: `adot.yaml`, with the changes of each option that is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import yaml

BASE = Path(__file__).with_name("adot.yaml")
Option = Literal["transaction-search", "mlflow-traces"]
"""Name of an option, which is a file beside this one."""


QUEUES = {"prometheusremotewrite": "remote_write_queue", "otlphttp": "sending_queue"}
"""Name of the queue's settings in each exporter that has a queue."""


def compose(*options: Option, waits: bool = True) -> str:
    """Return the configuration as YAML.

    Without ``waits`` it suits a process that is frozen once its application has answered, and discarded without
    notice, as on Lambda. It has no batches, no queues and no tail sampling, so that the sender gets its answer
    once AWS has the data.

    An option's file is merged into the rest: mappings merge, `null` removes a key, a list replaces the other
    list, and `service.extensions` are appended.
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
    """Return the options that a variable names, separated by commas. Raises ``KeyError`` for an unknown one."""
    known: dict[str, Option] = {option: option for option in get_args(Option)}
    return [known[name] for name in text.split(",") if name]


def _at_once(document: dict[str, Any]) -> dict[str, Any]:
    """Send all traces at once, without sampling: choosing among them by how they end takes time."""
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
