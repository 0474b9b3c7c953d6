"""The Python that stands in for an image's: that of the virtual environment with exactly the image's
packages.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def command(deployable: str, words: Sequence[str]) -> list[str]:
    """Return a container's command with this machine's Python: ours, if `make setup` has not made
    the image's environment."""
    program, *arguments = words
    return [_python(deployable) if program in ("python", "python3") else program, *arguments]


def _python(deployable: str) -> str:
    exact = ROOT / ".venvs" / deployable / "bin" / "python"
    return str(exact) if exact.exists() else sys.executable


def collector_command() -> list[str]:
    """Return the command of a real collector that reads AOT_CONFIG_CONTENT, if one is on PATH, or else
    of the stand-in."""
    if real := shutil.which("aws-otel-collector"):
        return [real]
    if real := shutil.which("otelcol-contrib"):
        return [real, "--config=env:AOT_CONFIG_CONTENT"]
    return [sys.executable, "-m", "local.collector"]
