"""The locked distributions of each deployable, and what is installed of them here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass
class Locked:
    """One line of a lock file."""

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)


def locks() -> list[Path]:
    """The compiled requirement files."""
    return sorted([*ROOT.glob("requirements*.txt"), ROOT / "requirements/docs.txt"])


def read(lock: Path) -> list[Locked]:
    """The distributions of a lock file, in its order."""
    found: list[Locked] = []
    for line in lock.read_text().splitlines():
        if pin := _PIN.match(line):
            found.append(Locked(normal(pin[1]), pin[2]))
        elif found:
            found[-1].hashes += _HASH.findall(line)
    return found


def installed() -> dict[str, Distribution]:
    """Every distribution of ``.venv`` and ``.venvs``, by its normal name."""
    return {normal(each.metadata["Name"]): each for each in _distributions() if each.metadata["Name"]}


def _distributions() -> Iterator[Distribution]:
    for site in (
        *ROOT.glob(".venvs/*/lib/python3*/site-packages"),
        *ROOT.glob(".venv/lib/python3*/site-packages"),
    ):
        yield from distributions(path=[str(site)])


def normal(name: str) -> str:
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()
