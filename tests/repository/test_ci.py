"""CI begins on a bare machine and runs what the docs say, and the Makefile accepts words of every kind."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONAL = (
    "chromium",
    "google-chrome-stable",
    "prometheus",
    "promtool",
    "docker",
    "node",
    "npm",
    "npx",
    "java",
    "gcc",
    "uv",
)
NEEDS_AN_ACCOUNT = {"bootstrap", "deploy", "destroy", "diff", "doctor", "smoke"}
"""Targets of the README and the workflows that no CI machine can run; their modules are tested instead."""
ENDLESS = {"help", "new-agent", "add-tool"}
"""Targets that only explain, or change the checkout; `tests/local/test_new_agent.py` and
`tests/docs/test_tutorial.py` run the latter in a copy.
"""


def test_every_optional_program_is_hidden_and_the_needed_ones_are_there(tmp_path: Path) -> None:
    for name in (*OPTIONAL, "python3-config"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    shown = subprocess.run(
        [ROOT / ".ci/bare", "bash", "-c", f"type -P {' '.join(OPTIONAL)} python3 git make bash"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    ).stdout.split()
    assert [Path(path).name for path in shown] == ["python3", "git", "make", "bash"]


def test_a_virtual_environment_made_on_the_bare_path_outlasts_it(tmp_path: Path) -> None:
    made = [ROOT / ".ci/bare", "python3", "-m", "venv", "--without-pip", tmp_path / "made"]
    subprocess.run(made, check=True)
    subprocess.run([tmp_path / "made" / "bin" / "python", "-c", "import venv"], check=True)


def test_ci_starts_bare_and_without_any_browser() -> None:
    steps = re.findall(r"^(?:FMOPS_BROWSER=none )?step .+$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert steps[0] == "FMOPS_BROWSER=none step .ci/bare make run ONCE=1"
    assert "step .ci/bare make test" in steps


def test_what_readme_and_workflows_call_is_called_in_ci() -> None:
    called = made_in(*(ROOT / ".ci" / name for name in ("run", "serving")))
    nightly = re.search(r"^nightly:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert nightly
    called |= set(re.findall(r"\$\(MAKE\) --no-print-directory ([a-z-]+)", nightly[1]))
    told = made_in(ROOT / "README.md", *(ROOT / ".github" / "workflows").glob("*.yml"))
    assert told - called - NEEDS_AN_ACCOUNT - ENDLESS == set()


def made_in(*files: Path) -> set[str]:
    """Return the targets of every `make` command of the files."""
    return {
        target
        for file in files
        for target in re.findall(
            r"(?:^ *|[`(]|step |bare |run: )make (?:--no-print-directory )?([a-z-]+)",
            file.read_text(),
            re.MULTILINE,
        )
    }


def test_every_profile_that_can_be_rehearsed_is() -> None:
    nightly = re.search(r"for profile in ([a-z ]+); do \\\n\t  \$\(MAKE\)", (ROOT / "Makefile").read_text())
    assert nightly
    assert set(nightly[1].split()) == {"dev", "prod", "serverless", "everything", "enclosed"}


WORDS = ["new prompt.md", "don't", 'say "no"', "costs $5 (or `6`)", "a;b & c", "umläut\\n"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("target", "variable", "command"),
    [
        ("prompt", "FILE", "EVALUATION"),
        ("prompt", "MESSAGE", "EVALUATION"),
        ("evaluate", "VERSION", "EVALUATION"),
        ("who-can", "RESOURCE", "BIN"),
        ("smoke", "URL", "BIN"),
        ("analyse", "FROM", "BIN"),
        ("review", "DAY", "BIN"),
        ("run", "THEN", "BIN"),
        ("cost", "PROFILE", "BIN"),
        ("deploy", "STACK", "CDK"),
    ],
)
def test_a_variable_reaches_its_command_as_one_word(
    target: str, variable: str, command: str, word: str, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    program.chmod(0o755)
    replaced = tmp_path if command == "BIN" else program
    old = [f"--assume-old={name}" for name in ("setup", "node_modules", ".venvs/browser/installed")]
    said = subprocess.run(
        ["make", *old, target, f"{command}={replaced}", "ENVIRONMENT=acme-dev", f"{variable}={word}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert f"{word}>" in said.stdout


def test_the_environment_has_the_profiles_prefix(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$2" = settings ] && echo other-prod || printf \'<%s>\' "$@"\n')
    python.chmod(0o755)
    for target, given, expected in (
        ("prompts", [], "other-prod"),
        ("agreement", ["ENVIRONMENT=mine"], "mine"),
        ("analyse", [], "other-prod"),
        ("evaluate", ["AWS=1"], "other-prod"),
    ):
        said = subprocess.run(
            ["make", "--assume-old=setup", target, f"BIN={tmp_path}", "PROFILE=prod", *given],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert f"<--environment><{expected}>" in said.stdout, said.stderr


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_local_addresses_go_through_no_proxy(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    said = subprocess.run(
        ["make", "--no-print-directory", "--eval", "show:;@echo $$NO_PROXY $$no_proxy", "show"],
        cwd=ROOT,
        env={**environment, name: "corp.example"},
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == ["localhost,127.0.0.1,::1,corp.example"] * 2
