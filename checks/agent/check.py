"""``python -m checks.agent.check``: look for what is missing or wrong in the agent, its policies and its settings.

It takes seconds, deploys nothing, and names file and remedy of each finding. The rest is left to `make test` and
`make run`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

import settings
from checks.agent import tools
from fmops import interaction
from fmops.agent import CASES, KNOWLEDGE, NAME, PROMPT
from fmops.documents import DocumentsError, read
from fmops.evaluation.cases import Case, load
from fmops.prompts import PromptError, packaged
from settings import geographies
from stacks.nodejs import NODE

ROOT = Path(__file__).parents[2]
CONVERTER = ROOT / "policies" / "convert-schema.mjs"


@dataclass(frozen=True)
class Finding:
    """Something that is missing or wrong: where, what, and what to do."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what.rstrip('.')}. {self.remedy}."


def policies(folder: Path = ROOT / "policies") -> Iterator[Finding]:
    """Find policies that Verified Permissions would refuse, and a schema.json that is older than its source."""
    import stacks.nodejs  # noqa: F401 - before constructs: it finds Node

    # isort: split
    from constructs import cedar

    try:
        cedar.load(folder, cedar.groups(folder))
    except cedar.CedarError as error:
        yield Finding("policies/", str(error), "Write it as the message says")
    with TemporaryDirectory() as made:
        fresh = Path(made) / "schema.json"
        done = subprocess.run(
            [NODE, str(CONVERTER), str(folder), str(fresh)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            yield Finding("policies/schema.cedarschema", done.stderr.strip(), "Mend the schema")
        elif json.loads(fresh.read_text()) != json.loads((folder / "schema.json").read_text()):
            yield Finding("policies/schema.json", "it is older than schema.cedarschema", "Run make schema")


def agent_tools() -> Iterator[Finding]:
    """Find tools without an action, a policy, a resource, a case, a sandbox method or a line of the stand-in model."""
    actions = tools.actions(json.loads((ROOT / "policies" / "schema.json").read_text()))
    permitted = tools.permitted(
        (path.read_text() for path in sorted((ROOT / "policies").glob("*.cedar"))), actions
    )
    asked = tools.asked(golden())
    spoken = tools.spoken(yaml.safe_load((ROOT / "demo" / "stand_in_model.yaml").read_text()))
    for each in tools.built():
        name = each.name
        if name not in actions:
            yield Finding(
                "policies/schema.cedarschema",
                f"no action {name!r} for the tool",
                "Add it, then run make schema",
            )
        elif name not in permitted:
            yield Finding(
                "policies/",
                f"no policy permits the action {name!r}",
                f"Add policies/….cedar with action == {name}",
            )
        if problem := tools.resource_problem(each):
            yield Finding("fmops/agent/resources.py", problem, f"Add a case for {name!r} to Resolver.on")
        if name not in asked:
            yield Finding(
                "fmops/agent/evaluation/golden.jsonl",
                f"no case expects the tool {name!r}",
                "Add one that does",
            )
        if problem := tools.sandbox_problem(each, asked.get(name, {})):
            yield Finding(
                "fmops/agent/sandbox.py", problem, "Give SandboxRecords the method that the tool calls"
            )
        if name not in spoken:
            yield Finding(
                "demo/stand_in_model.yaml", f"the stand-in model never calls {name!r}", "Add a line to calls"
            )


def documents() -> Iterator[Finding]:
    """Find documents that cannot be published or packaged."""
    try:
        found = read(KNOWLEDGE)
    except DocumentsError as error:
        for each in error.refusals:
            yield Finding(f"fmops/agent/knowledge/{each.file}", each.reason, each.remedy.capitalize())
        return
    for document in found:
        if document.header.classification not in ("public", "internal"):
            said = f"the classification is {document.header.classification!r}"
            where = f"fmops/agent/knowledge/{document.source}"
            yield Finding(where, said, "Use public or internal, which the policies know")


def prompt() -> Iterator[Finding]:
    """Find a packaged prompt that cannot serve."""
    try:
        packaged(NAME, PROMPT).checked()
    except (PromptError, OSError) as error:
        yield Finding("fmops/agent/prompts/system.md", str(error), "Write the prompt as the message says")


def cases() -> Iterator[Finding]:
    """Find golden cases that cannot be read, or that somebody asks who is not in the sandbox."""
    from fmops.variants.sandbox import people

    known = people()
    try:
        asked = golden()
    except (ValueError, ValidationError) as error:
        yield Finding(
            "fmops/agent/evaluation/golden.jsonl", str(error), "Mend the line that the message names"
        )
        return
    for case in asked:
        if case.caller not in known:
            said = f"{case.case_id} is asked by {case.caller!r}, who is not in sandbox.yaml"
            yield Finding("fmops/agent/evaluation/golden.jsonl", said, f"Use one of {', '.join(known)}")


def profiles() -> Iterator[Finding]:
    """Find profiles that are refused at synth, and models that their region cannot call."""
    from stacks.availability import deploy_region

    context = settings.read_context()
    for name in context["fmops"]:
        try:
            geographies.check(settings.load({**context, "profile": name}), deploy_region())
        except settings.SettingsError as error:
            yield Finding(
                f"cdk.json, profile {name}", str(error), "Change the setting that the message names"
            )


def record_schema() -> Iterator[Finding]:
    """Find a schema file of the captured record that is not what the class says."""
    committed = ROOT / "fmops" / "interaction.schema.json"
    if json.loads(committed.read_text()) != interaction.json_schema():
        yield Finding(
            "fmops/interaction.schema.json", "it is older than fmops/interaction.py", "Run make schema"
        )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    prompt,
    documents,
    cases,
    agent_tools,
    policies,
    profiles,
    record_schema,
)


def golden() -> list[Case]:
    """Return the golden cases."""
    return load(CASES, Case)


def main() -> int:
    argparse.ArgumentParser(prog="make check", description=__doc__).parse_args()
    console = Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    for look in CHECKS:
        name = look.__name__.replace("_", " ")
        with console.status(f"Looking at the {name} …"):
            found = list(look())
        mark = "[red]✗[/]" if found else "[green]✓[/]"
        console.print(mark, Text(name))
        for each in found:
            console.print("   ", Text(str(each)))
        findings += found
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
