"""Every test that the threat model names as proof exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)))
GROUPS = re.findall(r"`([a-z-]+)`", TEXT.split("## Permissions by role")[1].split("## Where")[0])


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_named_test_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not test or test in tests
    assert any(name.startswith("test_") for name in tests)


@pytest.mark.parametrize("list_", ["LLM{:02}", "STRIDE"])
def test_no_threat_is_left_out_and_each_has_its_proof(list_: str) -> None:
    stride = (
        "Spoofing",
        "Tampering",
        "Repudiation",
        "Information disclosure",
        "Denial of service",
        "Elevation of privilege",
    )
    threats = stride if list_ == "STRIDE" else tuple(list_.format(number) for number in range(1, 11))
    entries = [" ".join(each.split()) for each in re.split(r"\n(?=- )|\n\n", TEXT)]
    for threat in threats:
        proofs = [entry for entry in entries if entry.startswith(f"- **{threat}")]
        assert proofs, threat
        assert all("Proved by `tests/" in entry for entry in proofs), threat


def test_every_group_of_the_policies_has_its_row() -> None:
    used = {
        name
        for file in (ROOT / "policies").glob("*.cedar")
        for name in re.findall(r'Group::"([\w-]+)"', file.read_text())
    }
    assert used <= set(GROUPS)


@pytest.mark.parametrize(
    "file", sorted(re.findall(r"`((?:fmops|constructs|stacks|collector)/[\w/.]+)`", TEXT))
)
def test_each_named_file_is_there(file: str) -> None:
    assert (ROOT / file).exists()
