"""The reviewed list of stand-ins (standins.yaml)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

PATH = Path(__file__).with_name("standins.yaml")


def reasons() -> dict[str, str]:
    """Return the reason why a name is enough, by type."""
    loaded: dict[str, str] = yaml.safe_load(PATH.read_text())
    return loaded


def unreviewed(types: Iterable[str]) -> list[str]:
    """Return types that became stand-ins and are not on the list."""
    return sorted(set(types) - set(reasons()))
