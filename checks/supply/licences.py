"""Check the locked distributions against the reviewed licences of ``allowed.toml``: ``python -m
checks.supply.licences``."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from checks.supply.locks import installed, locks, read

ALLOWED = Path(__file__).with_name("allowed.toml")
LONGEST = 100
"""Maximum length of a licence's name in characters; anything longer is its text."""


def expression(distribution: Distribution, aliases: Mapping[str, str]) -> str:
    """Return the licences that a distribution declares, as an SPDX expression if that is known, or an empty
    text if there are none."""
    metadata: Any = distribution.metadata
    if declared := metadata.get("License-Expression"):
        return str(declared)
    words = str(metadata.get("License") or "").strip()
    classified = [
        each.rpartition("::")[2].strip()
        for each in metadata.get_all("Classifier") or []
        if each.startswith("License ::") and not each.endswith("OSI Approved")
    ]
    named = (
        [words] if words and len(words) <= LONGEST and "\n" not in words and words in aliases else classified
    )
    if not named and words and len(words) <= LONGEST and "\n" not in words:
        named = [words]
    return " AND ".join(aliases.get(each, each) for each in named)


def permitted(licence: str, allowed: set[str]) -> bool:
    """Whether all parts of an expression are allowed, or one of the alternatives of each."""
    text = licence.strip()
    if not text:
        return False
    parts = _split(text, "AND")
    if len(parts) > 1:
        return all(permitted(part, allowed) for part in parts)
    alternatives = _split(text, "OR")
    if len(alternatives) > 1:
        return any(permitted(part, allowed) for part in alternatives)
    if text.startswith("(") and text.endswith(")"):
        return permitted(text[1:-1], allowed)
    return text in allowed


def problems(found: Mapping[str, Distribution], rules: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each licence that is not allowed, and for each exception that is no longer
    needed.
    """
    allowed, argued = set(rules["allowed"]), {each["name"]: each for each in rules["argued"]}
    told, needed = [], set()
    for lock in locks():
        for each in read(lock):
            if each.name not in found:
                continue
            licence = expression(found[each.name], rules["aliases"])
            if permitted(licence, allowed):
                continue
            if each.name in argued and argued[each.name]["licence"] == licence:
                needed.add(each.name)
                continue
            told.append(
                f"{lock.name}: {each.name} {each.version} is under {licence or 'no declared licence'}: take another"
                f" library, or argue for it in checks/supply/{ALLOWED.name}"
            )
    return told + [
        f"checks/supply/{ALLOWED.name}: {name} needs no argument: leave it out"
        for name in sorted(set(argued) - needed)
        if name in found or not any(name == each.name for lock in locks() for each in read(lock))
    ]


def rules() -> dict[str, Any]:
    """Return the reviewed list."""
    return tomllib.loads(ALLOWED.read_text())


def _split(text: str, word: str) -> list[str]:
    """Return the parts of an expression between the occurrences of a word outside its parentheses."""
    parts, depth = [""], 0
    for token in re.split(rf"(\(|\)|\s{word}\s)", text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and token.strip() == word:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def main() -> int:
    found = problems(installed(), rules())
    sys.stdout.write("".join(f"{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
