"""Another agent in place of the insurance example: made as a fork makes it, and run with its own tour."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.new_agent import NewAgentError, make

ROOT = Path(__file__).parents[2]
PORTS = "23700"
EXAMPLE = re.compile(r"claims.?desk|payout|adjuster|\bC-1001\b", re.IGNORECASE)
SERVES_ANY_AGENT = ("fmops", "stacks", "demo", "policies", "app.py", "settings", "cdk.json", "lambdas")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what git tracks, with the environments of this checkout."""
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, known.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    for environment in (".venv", ".venvs"):
        (tmp_path / environment).symlink_to(ROOT / environment)
    return tmp_path


@pytest.mark.rehearsal
def test_it_passes_its_own_tour_with_every_chapter_under_its_own_policies(checkout: Path) -> None:
    run(checkout, "examples.new_agent", "it-help")
    said = run(checkout, "local", "up", "--once", "--port-base", PORTS)
    assert "✓ tour: 26 of 26 requests as expected, 5 of 5 bad ones refused" in said
    assert "0 kinds of calls denied" in said
    report = (checkout / "build/local/report.html").read_text()
    assert "a better prompt is promoted: it-help 3" in report and "✗" not in report
    assert "✗" not in said


def test_nothing_of_the_example_is_left_in_what_is_deployed(checkout: Path) -> None:
    make("it-help", checkout)
    left = [
        f"{path.relative_to(checkout)}: {line.strip()}"
        for part in SERVES_ANY_AGENT
        for path in ([checkout / part] if (checkout / part).is_file() else (checkout / part).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
        for line in path.read_text(errors="ignore").splitlines()
        if EXAMPLE.search(line) or "ServiceDesk" in line or "service-desk" in line
    ]
    assert left == []


@pytest.mark.parametrize("name", ["", "It Help", "it_help", "-it", "9lives", "a" * 41, "../x"])
def test_a_name_that_cannot_be_one_is_refused_before_anything_changes(name: str, checkout: Path) -> None:
    with pytest.raises(NewAgentError, match="such as it-help"):
        make(name, checkout)
    assert (checkout / "policies" / "adjuster-payout-limit.cedar").exists()


def test_what_is_not_committed_is_not_lost(checkout: Path) -> None:
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    (checkout / "demo" / "tour.yaml").write_text("mine")
    with pytest.raises(NewAgentError, match=r"demo/tour\.yaml has changes that are not committed"):
        make("it-help", checkout)
    assert (checkout / "demo" / "tour.yaml").read_text() == "mine"


def run(checkout: Path, *module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout
