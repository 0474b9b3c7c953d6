"""The examples of constructs/README.md run in an app that is not ours; tests/docs/test_reference.py
tests the links."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "constructs/README.md").read_text()
SECTIONS = re.findall(r"^## (\w+)\n(?:(?!^## ).*\n)*?\[Arguments and attributes\]", TEXT, re.MULTILINE)
# Files of the runtime that an example may use, as the README says.
PUBLISHED = {
    "fmops/interaction.schema.json": "interaction.schema.json",
    "fmops/capture/dataset.sql": "dataset.sql",
    "fmops/guardrails/settings.schema.json": "guardrails.schema.json",
}


@dataclass(frozen=True)
class AnotherApp:
    """A CDK app with a copy of `constructs/` and `lambdas/`, and nothing else of the repository."""

    examples: dict[str, dict[str, Any]]
    templates: dict[str, dict[str, Any]]
    findings: list[str]


@pytest.fixture(scope="module")
def another_app(tmp_path_factory: pytest.TempPathFactory) -> AnotherApp:
    """Run the app in a process of its own, since CDK reads relative paths from where its engine was started."""
    folder = tmp_path_factory.mktemp("another") / "app"
    shutil.copytree(Path(__file__).parent / "another_app", folder)
    for name in ("constructs", "lambdas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for ours, theirs in PUBLISHED.items():
        shutil.copy(ROOT / ours, folder / theirs)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CDK_VALIDATION")}
    subprocess.run([sys.executable, "app.py"], cwd=folder, env=kept, check=True)
    report = json.loads((folder / "cdk.out" / "validation-report.json").read_text())
    return AnotherApp(
        examples=json.loads((folder / "examples.json").read_text()),
        templates={
            file.name.removesuffix(".template.json"): json.loads(file.read_text())
            for file in (folder / "cdk.out").glob("*.template.json")
        },
        findings=[
            f"{construct['constructPath']}: {violation['ruleName']}"
            for plugin in report["pluginReports"]
            for violation in plugin["violations"]
            for construct in violation["violatingConstructs"]
        ],
    )


@pytest.mark.parametrize("name", SECTIONS)
def test_the_example_makes_its_construct(name: str, another_app: AnotherApp) -> None:
    example = another_app.examples[name]
    assert example["error"] is None, example["error"]
    made = [logical_id for ids in example["resources"].values() for logical_id in ids]
    assert made
    assert set(made) <= another_app.templates[name]["Resources"].keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_cdk_nag_finds_nothing_in_the_examples_construct(name: str, another_app: AnotherApp) -> None:
    paths = tuple(f"{path}/" for path in another_app.examples[name]["resources"])
    assert [each for each in another_app.findings if each.startswith(paths)] == []


def test_cdk_nag_looked_at_the_examples(another_app: AnotherApp) -> None:
    assert any(finding.startswith("BedrockEvaluation/Bucket/") for finding in another_app.findings)
