"""The tests that `make new-agent` leaves: none imports one that it removes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from examples.new_agent import EXAMPLES_TESTS

ROOT = Path(__file__).parents[2]


def removed(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in EXAMPLES_TESTS)


def imported(file: Path) -> Iterator[str]:
    """Yield the paths of the test modules that a file imports, without their suffix."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests"):
            module = node.module.replace(".", "/")
            yield module
            yield from (f"{module}/{each.name}" for each in node.names)


def test_no_test_that_stays_imports_one_that_goes() -> None:
    broken = {
        f"{path}: {name}"
        for file in (ROOT / "tests").rglob("*.py")
        if not removed(path := file.relative_to(ROOT).as_posix())
        for name in imported(file)
        if removed(name) or removed(f"{name}.py")
    }
    assert broken == set()


def test_everything_that_goes_is_there() -> None:
    assert [each for each in EXAMPLES_TESTS if not (ROOT / each).exists()] == []
