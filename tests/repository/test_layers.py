"""Dependencies point one way: the contracts of pyproject.toml, and those of folders that are not packages."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [*(ROOT / "constructs").glob("*.py"), *(ROOT / "lambdas").rglob("*.py")]
PACKAGES = ("fmops", "local", "settings", "stacks", "observability", "ops", "demo", "checks")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_constructs_and_functions_import_nothing_of_this_blueprint_alone(file: Path) -> None:
    forbidden = {"fmops", "local"}
    if file.parent.name == "constructs":
        forbidden |= {"settings", "stacks", "observability", "app"}
    assert imports(file) & forbidden == set()


def imports(file: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.split(".")[0]
        for name in plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    }


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages, to plant wrong imports in."""
    folder = tmp_path_factory.mktemp("packages")
    ignore = shutil.ignore_patterns("__pycache__", "*.json", "*.md")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts on a folder's packages."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_is_kept(packages: Path) -> None:
    done = lint(packages)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("fmops/guardrails/cache.py", "import fmops.conversation.turns", "The runtime imports downwards"),
        ("fmops/capture/spool.py", "import fmops.guardrails", "The runtime imports downwards"),
        ("fmops/telemetry/prices.py", "import aws_cdk", "The runtime knows neither"),
        ("fmops/toolkit/knowledge.py", "import local.aws.kernel", "The runtime knows neither"),
        ("local/aws/kernel/ports.py", "import local.run.up", "The local AWS imports downwards"),
        ("local/aws/kernel/ports.py", "import local.aws.front", "The emulation imports downwards"),
        ("local/run/folder.py", "import fmops.turn", "The local AWS knows nothing"),
        ("stacks/base.py", "import fmops.turn", "Infrastructure imports no runtime code"),
        ("settings/kinds.py", "import ops.cost", "What tries the product"),
        ("fmops/guardrails/types.py", "import fmops.guardrails.engine", "No circle"),
    ],
)
def test_a_planted_import_in_the_wrong_direction_fails(
    packages: Path, file: str, planted: str, contract: str
) -> None:
    path = packages / file
    text = path.read_text()
    path.write_text(f"{text}\n{planted}\n")
    try:
        done = lint(packages)
    finally:
        path.write_text(text)
    assert done.returncode == 1
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), done.stdout
