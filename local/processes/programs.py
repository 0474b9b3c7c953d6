"""Which Python stands for the one of an image: that of the virtual environment with exactly the image's packages."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def command(deployable: str, words: Sequence[str]) -> list[str]:
    """A container's command with this machine's Python; ours stands in where `make setup` has not made the image's."""
    program, *arguments = words
    return [_python(deployable) if program in ("python", "python3") else program, *arguments]


def _python(deployable: str) -> str:
    exact = ROOT / ".venvs" / deployable / "bin" / "python"
    return str(exact) if exact.exists() else sys.executable


def collector_command() -> list[str]:
    """A real collector that reads AOT_CONFIG_CONTENT, if one is on PATH, else the stand-in."""
    if real := shutil.which("aws-otel-collector"):
        return [real]
    if real := shutil.which("otelcol-contrib"):
        return [real, "--config=env:AOT_CONFIG_CONTENT"]
    return [sys.executable, "-m", "local.collector"]
