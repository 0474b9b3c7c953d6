"""The locked distributions of each deployable, and those of them that are installed here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass
class Locked:
    """One line of a lock file."""

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)


def locks() -> list[Path]:
    """Return the compiled requirement files."""
    pinned = [each for each in (ROOT / "requirements").glob("*.txt") if each.with_suffix(".in").exists()]
    return sorted([ROOT / "requirements.txt", *pinned])


def read(lock: Path) -> list[Locked]:
    """Return the distributions of a lock file, in its order."""
    found: list[Locked] = []
    for line in lock.read_text().splitlines():
        if pin := _PIN.match(line):
            found.append(Locked(normal(pin[1]), pin[2]))
        elif found:
            found[-1].hashes += _HASH.findall(line)
    return found


def installed() -> dict[str, Distribution]:
    """Return every distribution of ``.venv`` and ``.venvs``, by its normalized name."""
    return {normal(each.metadata["Name"]): each for each in _distributions() if each.metadata["Name"]}


def _distributions() -> Iterator[Distribution]:
    for site in (
        *ROOT.glob(".venvs/*/lib/python3*/site-packages"),
        *ROOT.glob(".venv/lib/python3*/site-packages"),
    ):
        yield from distributions(path=[str(site)])


def normal(name: str) -> str:
    """Normalize a name as PyPI does."""
    return re.sub(r"[-_.]+", "-", name).lower()
