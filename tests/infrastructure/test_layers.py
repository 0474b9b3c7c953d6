"""Dependencies point one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *(ROOT / "stacks").glob("*.py"),
    *(ROOT / "constructs").glob("*.py"),
    *(ROOT / "lambdas").rglob("*.py"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_infrastructure_imports_no_runtime_code(file: Path) -> None:
    forbidden = {"fmops", "local"}
    if file.parent.name == "constructs":
        forbidden |= {"settings", "stacks", "observability", "app"}
    assert imports(file) & forbidden == set()


def imports(file: Path) -> set[str]:
    """Top-level packages that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.split(".")[0]
        for name in plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    }
