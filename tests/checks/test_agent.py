"""`make check`, `make add-tool` and `make try` in copies of the checkout: findings, files and answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checks.agent.add_tool import AddToolError, add
from stacks.nodejs import NODE

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "checks",
    "constructs",
    "demo",
    "fmops",
    "local",
    "observability",
    "policies",
    "settings",
    "stacks",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cdk.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


def run(checkout: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=checkout, capture_output=True, text=True, check=False
    )


def change(checkout: Path, file: str, old: str, new: str) -> None:
    path = checkout / file
    text = path.read_text()
    assert old in text, f"{file} has changed: plant another mistake"
    path.write_text(text.replace(old, new, 1))


def test_every_planted_mistake_is_found_with_its_file_and_remedy(checkout: Path) -> None:
    assert run(checkout, "checks.agent.check").returncode == 0
    change(checkout, "fmops/agent/tools.py", "def escalate_to_siu(", "def escalate(")
    change(checkout, "fmops/agent/tools.py", "        escalate_to_siu,", "        escalate,")
    change(checkout, "fmops/agent/sandbox.py", "    def hold(", "    def _hold(")
    (checkout / "fmops/agent/knowledge/new.md").write_text("title: New\n---\nText\n")
    change(checkout, "fmops/agent/evaluation/golden.jsonl", '"caller": "clara"', '"caller": "nobody"')
    change(checkout, "policies/schema.cedarschema", "siuHold: Bool,", "siuHold: Bool,\n    fast: Bool,")
    change(checkout, "policies/customer-own-claim.cedar", "resource.claimantUser ", "resource.claimantUsr ")
    change(checkout, "cdk.json", '"mfa": "optional"', '"mfa": "sometimes"')
    done = run(checkout, "checks.agent.check")
    assert done.returncode == 1, done.stderr
    for found in (
        "schema.cedarschema: no action 'escalate' for the tool",
        "Resolver.on",
        "no case expects the tool 'escalate'",
        "the stand-in model never calls 'escalate'",
        "the tool 'escalate' fails in the sandbox",
        "new.md: the header has no classification",
        "is asked by 'nobody'",
        "schema.json: it is older than schema.cedarschema. Run make schema",
        "customer-own-claim.cedar",
        "cdk.json, profile dev",
    ):
        assert found in done.stdout, f"{found!r} is not in:\n{done.stdout}"
    assert "Traceback" not in done.stdout + done.stderr


def test_an_added_tool_passes_the_check_and_answers(checkout: Path) -> None:
    files = add("check_coverage", "Claim", "handlers", checkout)
    assert "policies/handlers-check-coverage.cedar" in files
    converted = subprocess.run(
        [NODE, "policies/convert-schema.mjs", "policies"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert converted.returncode == 0, converted.stderr
    checked = run(checkout, "checks.agent.check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    answered = run(checkout, "checks.agent.ask", "Please check coverage for C-8101.", "--caller", "adam")
    assert "check_coverage" in answered.stdout and "success" in answered.stdout, (
        answered.stdout + answered.stderr
    )
    assert "handlers-check-coverage" in answered.stdout
    refused = run(checkout, "checks.agent.ask", "Please check coverage for C-8101.", "--caller", "clara")
    assert "success" not in refused.stdout


@pytest.mark.parametrize(
    ("name", "resource", "group", "said"),
    [
        ("coverage", "Claim", "handlers", "two or more words"),
        ("Check-Coverage", "Claim", "handlers", "two or more words"),
        ("get_claim", "Claim", "handlers", "there is such an action already"),
        ("check_coverage", "Ticket", "handlers", "RESOURCE=Ticket: use one of"),
        ("check_coverage", "Claim", "wizards", "GROUP=wizards: use one of"),
    ],
)
def test_a_tool_that_does_not_fit_changes_nothing(
    checkout: Path, name: str, resource: str, group: str, said: str
) -> None:
    before = {
        path: path.read_bytes()
        for path in checkout.rglob("*")
        if path.is_file() and "node_modules" not in path.parts
    }
    with pytest.raises(AddToolError, match=said):
        add(name, resource, group, checkout)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_question_that_cannot_be_asked_is_a_sentence(checkout: Path) -> None:
    (checkout / "bad.md").write_text("{{unknown}} {% if %}")
    for arguments, said in (
        (["Hello", "--caller", "nobody"], "AS=clara"),
        (["Hello", "--profile", "nowhere"], "nowhere"),
        (["Hello", "--prompt", "missing.md"], "missing.md"),
    ):
        done = run(checkout, "checks.agent.ask", *arguments)
        assert done.returncode == 2, done.stdout
        assert said in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_the_golden_cases_of_an_added_tool_are_json_lines(checkout: Path) -> None:
    add("check_coverage", "Claim", "handlers", checkout)
    lines = (checkout / "fmops/agent/evaluation/golden.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["expected"]["tools"][0]["name"] == "check_coverage"
