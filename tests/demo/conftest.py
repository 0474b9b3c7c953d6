"""A local AWS for the demo's tests, and progress that nobody sees."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from local.run.progress import Progress
from local.run.report import Report
from tests.local.conftest import cloud

__all__ = ["cloud", "quiet"]


def quiet() -> Progress:
    """Return progress that is not shown, whose report is not written."""
    return Progress(Console(file=io.StringIO()), Report("Test"), Path("/dev/null"))
