"""SQL literals for DuckDB."""

from __future__ import annotations

import glob
from pathlib import Path


def literal(text: str) -> str:
    """Return a text as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def files(directory: Path, pattern: str) -> str:
    """Return a literal that names the matching files below ``directory``, whatever characters are in its
    path.
    """
    return literal(f"{glob.escape(str(directory))}/{pattern}")
