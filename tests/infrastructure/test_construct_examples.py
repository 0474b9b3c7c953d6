"""constructs/README.md says what the code says, and its examples run in an app that is not ours."""

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
from constructs import Construct, reference

ROOT = Path(__file__).parents[2]
TEXT = reference.README.read_text()
SECTIONS = [found["name"] for found in reference.TABLES.finditer(TEXT)]
# What an example may bring along that is the runtime's, as the README says.
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
    """In a process of its own: CDK reads relative paths from where its engine was started."""
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


def test_every_construct_has_a_section_and_every_section_a_construct() -> None:
    assert sorted(reference.public_constructs()) == SECTIONS


def test_tables_are_up_to_date() -> None:
    written = reference.write_tables(TEXT, reference.public_constructs())
    assert written == TEXT, "Run `make schema`."


def test_the_overview_names_every_construct() -> None:
    linked = re.findall(r"\[(\w+)\]\(#(\w+)\)", TEXT)
    assert sorted(name for name, _ in linked if name != "helpers") == SECTIONS
    assert all(name.lower() == anchor for name, anchor in linked)


def test_every_module_without_a_construct_is_among_the_helpers() -> None:
    _, _, helpers = TEXT.partition("## Helpers")
    with_constructs = {each.__module__ for each in reference.public_constructs().values()}
    others = {
        file.stem
        for file in reference.FOLDER.glob("*.py")
        if f"constructs.{file.stem}" not in with_constructs
    }
    assert others <= set(re.findall(r"^\| `(\w+)`", helpers, re.MULTILINE))


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


class Documented(Construct):
    """A construct.

    Args:
        size: of it,
            in metres.
    """

    def __init__(self, scope: Construct, id: str, *, size: int = 3) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id)


class Undocumented(Construct):
    """A construct.

    Args:
        length: which it does not take.
    """

    def __init__(self, scope: Construct, id: str, *, size: int) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id)


def test_the_tables_follow_signature_and_docstring() -> None:
    assert "| `size` | `int` | `3` | of it, in metres. |\n" in reference.tables(Documented)


def test_what_is_taken_and_not_documented_or_the_reverse_is_refused() -> None:
    with pytest.raises(reference.UndocumentedError, match="Undocumented: length, size must be both"):
        reference.tables(Undocumented)


def test_an_outdated_table_is_written_anew() -> None:
    text = "# Title\n\n## Documented\n\nWords.\n\n<!-- tables -->\nold\n<!-- end -->\n\nMore.\n"
    written = reference.write_tables(text, {"Documented": Documented})
    assert written.startswith("# Title\n\n## Documented\n\nWords.\n\n<!-- tables -->\n| Argument |")
    assert written.endswith("<!-- end -->\n\nMore.\n") and "old" not in written
