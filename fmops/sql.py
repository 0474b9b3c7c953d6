"""Words of SQL for DuckDB."""

from __future__ import annotations

import glob
from pathlib import Path


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def files(directory: Path, pattern: str) -> str:
    """Return a literal that names the files below ``directory`` that match, whatever characters are in its path."""
    return literal(f"{glob.escape(str(directory))}/{pattern}")
