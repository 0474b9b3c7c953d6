"""The tutorial's commands do what it says, in a copy of the checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from stacks.nodejs import NODE
from tests.checks.test_agent import checkout, run
from tests.docs.test_links import ROOT

__all__ = ["checkout"]

TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")


def made(section: str) -> list[tuple[str, dict[str, str]]]:
    """Return the targets of a section's commands, each with its variables."""
    (text,) = re.findall(rf"^## {section}.*\n((?:(?!^## ).*\n)*)", TUTORIAL, re.MULTILINE)
    lines = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^make .+$", text, re.MULTILINE)]
    return [(target, dict(word.split("=", 1) for word in words)) for target, *words in lines]


def tried(folder: Path, given: dict[str, str]) -> str:
    done = run(folder, "checks.agent.ask", given["ASK"], "--caller", given["AS"])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_claim_is_shown_to_its_owner_only(checkout: Path) -> None:
    (first, clara), (second, bruno) = made("2")
    assert (first, second, clara["AS"], bruno["AS"]) == ("try", "try", "clara", "bruno")
    assert "success" in tried(checkout, clara)
    assert "denied" in tried(checkout, bruno)


def test_a_document_is_added_and_answered_from(checkout: Path) -> None:
    (name,) = re.findall(r"^Write `([\w/-]+\.md)`", TUTORIAL, re.MULTILINE)
    (text,) = re.findall(r"^```md\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)
    (checkout / name).write_text(text)
    (_, clara), (checked, _) = made("4")
    assert "800.00" in tried(checkout, clara)
    assert checked == "check"
    assert run(checkout, "checks.agent.check").returncode == 0


def test_a_tool_is_added_with_its_policy_and_then_narrowed(checkout: Path) -> None:
    (added, tool), (checked, _), (_, adam), (_, clara) = made("3")
    assert (added, checked) == ("add-tool", "check")
    options = [tool["NAME"], "--resource", tool["RESOURCE"], "--group", tool["GROUP"]]
    assert run(checkout, "checks.agent.add_tool", *options).returncode == 0
    for file in re.findall(r"^\| `([\w./-]+)` \|", TUTORIAL, re.MULTILINE):
        assert (checkout / file).exists(), file
    (condition,) = re.findall(r"^```cedar\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)
    policy = checkout / "policies/handlers-check-coverage.cedar"
    policy.write_text(policy.read_text().rstrip().removesuffix(";") + f"\n{condition}")
    convert = [NODE, "policies/convert-schema.mjs", "policies"]
    subprocess.run(convert, cwd=checkout, check=True, capture_output=True)
    found = run(checkout, "checks.agent.check")
    assert found.returncode == 0, found.stdout
    assert "success" in tried(checkout, adam)
    assert "check_coverage" not in tried(checkout, clara)
