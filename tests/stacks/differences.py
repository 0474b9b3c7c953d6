"""Templates as snapshots store them: without hashes, and as a readable difference from the profile `dev`."""

import base64
import json
import re
from difflib import unified_diff
from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

# Hashes change with every edit of their assets.
ASSET_HASH = re.compile(r"\b[0-9a-f]{64}\b")
# Athena's views store their query as base64, in which a difference would be unreadable.
VIEW = re.compile(r"(?<=/\* Presto View: )[A-Za-z0-9+/=]+(?= \*/)")


class Difference(SingleFileSnapshotExtension):
    """Snapshots in files that editors show as differences."""

    _write_mode = WriteMode.TEXT
    file_extension = "diff"


def reviewable(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template without the hashes of its assets."""
    return json.loads(ASSET_HASH.sub("<asset hash>", json.dumps(template)))


def difference(dev: dict[str, Any], template: dict[str, Any], environment: str) -> str:
    """Return how a template differs from that of `fmops-dev`, entry by entry, apart from the environments'
    names.
    """
    before, after = _entries(dev, "fmops-dev"), _entries(template, environment)
    shown = [
        line
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        for line in _compared(name, before.get(name), after.get(name))
    ]
    return "\n".join([f"{environment} compared with fmops-dev", "", *(shown or ["no difference"]), ""])


def _entries(template: dict[str, Any], environment: str) -> dict[str, list[str]]:
    """Return the lines of each resource, output and parameter, by section and name."""
    entries = {
        f"{section}.{name}": entry
        for section, content in reviewable(template).items()
        for name, entry in (content if isinstance(content, dict) else {"": content}).items()
    }
    return {name: _lines(entry, environment) for name, entry in entries.items()}


def _lines(entry: Any, environment: str) -> list[str]:
    text = json.dumps(entry, indent=1, sort_keys=True, ensure_ascii=False)
    text = VIEW.sub(lambda view: json.dumps(base64.b64decode(view[0]).decode())[1:-1], text)
    return re.sub(rf"\b{environment.replace('-', '[-_]')}\b", "<environment>", text).splitlines()


def _compared(name: str, before: list[str] | None, after: list[str] | None) -> list[str]:
    if after is None:
        return [f"- {name}", ""]
    changes = list(unified_diff(before or [], after, lineterm=""))[2:]
    return [f"{'+ ' if before is None else ''}{name}", *changes, ""]
