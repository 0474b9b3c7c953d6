"""``python -m checks.agent.add_tool``: add a tool that works, with all that belongs to one, and then make it yours.

The tool reads the record that its argument names. Written are the tool, its Cedar action, a policy that permits it to a
group, its resource, a golden case, and a line of the stand-in model. `make check` and `make try` work at once.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
LONGEST = 60
TOOLS, RESOURCES = "fmops/agent/tools.py", "fmops/agent/resources.py"
SANDBOX, CASES = "fmops/agent/evaluation/sandbox.yaml", "fmops/agent/evaluation/golden.jsonl"
SCHEMA, STAND_IN = "policies/schema.cedarschema", "demo/stand_in_model.yaml"


class AddToolError(Exception):
    """The tool was not added; the message says what to do. Nothing has changed."""


@dataclass(frozen=True)
class NewTool:
    """A tool that reads a ``resource`` by its id, for a ``group``. ``sample`` is the id of one in the sandbox, and
    ``caller`` a person there who is in the group."""

    name: str
    resource: str
    group: str
    namespace: str
    sample: str
    caller: str

    @property
    def argument(self) -> str:
        return f"{self.resource.lower()}_id"

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    def policy(self) -> str:
        """Return the policy that permits the tool to the group."""
        return (
            f"// {self.group.capitalize()} may {self.words}. Say here on which resources, and when.\n"
            f'@id("{self.policy_name}")\npermit (\n'
            f'  principal in {self.namespace}::Group::"{self.group}",\n'
            f'  action == {self.namespace}::Action::"{self.name}",\n  resource\n);\n'
        )

    @property
    def policy_name(self) -> str:
        return f"{self.group}-{self.name.replace('_', '-')}"

    def action(self) -> str:
        """Return the action of the schema."""
        return (
            f'  action "{self.name}" in ["CallTool"] appliesTo {{\n'
            f"    principal: [User], resource: [{self.resource}], context: {{ session: Session }}\n  }};\n"
        )

    def function(self) -> str:
        """Return the tool's code."""
        return (
            f"    @tool\n    def {self.name}({self.argument}: str) -> str:\n"
            f'        """{self.words.capitalize()} of a {self.resource.lower()}.\n\n        Args:\n'
            f"            {self.argument}: The {self.resource.lower()}'s id, such as {self.sample}.\n"
            f'        """\n        found = records.get("{self.resource.lower()}", {self.argument})\n'
            f'        return _json(found) if found else f"There is no {self.resource.lower()} {{{self.argument}}}."\n\n'
        )

    def case(self) -> str:
        """Return the branch of ``Resolver.on``."""
        return (
            f'            case "{self.name}":\n'
            f'                return self.resource("{self.resource}", text(arguments, "{self.argument}")), {{}}\n'
        )

    def golden(self) -> str:
        """Return the golden case."""
        call = {"name": self.name, "arguments": {self.argument: self.sample}}
        return json.dumps(
            {
                "case_id": f"tool-{self.name.replace('_', '-')}",
                "kind": "tool",
                "caller": self.caller,
                "question": f"Please {self.words} for {self.sample}.",
                "expected": {"tools": [call], "finish": "stop"},
            }
        )

    def spoken(self) -> str:
        """Return the entry that has the stand-in model call the tool, before the others."""
        pattern = re.sub("[0-9]+", lambda _: r"\d+", self.sample)
        when = [rf"(?P<{self.argument}>\b{pattern}\b)", rf"(?i)\b{self.words.replace(' ', r'[ _]')}\b"]
        quoted = "\n".join(f"  - '{each}'" for each in when)
        return f"- tool: {self.name}\n  when:\n{quoted}\n"


def add(name: str, resource: str, group: str, root: Path = ROOT) -> list[str]:
    """Write everything that belongs to the tool, and return the files. Raises ``AddToolError``."""
    new = _planned(name, resource, group, root)
    written = {
        f"policies/{new.policy_name}.cedar": new.policy(),
        SCHEMA: _before_last((root / SCHEMA).read_text(), "}", new.action()),
        TOOLS: _with_function((root / TOOLS).read_text(), new),
        RESOURCES: _before_last(
            (root / RESOURCES).read_text(),
            "            case _:\n                raise ValueError(\n",
            new.case(),
        ),
        CASES: (root / CASES).read_text().rstrip("\n") + f"\n{new.golden()}\n",
        STAND_IN: (root / STAND_IN).read_text().replace("\ncalls:\n", f"\ncalls:\n{new.spoken()}", 1),
    }
    for file, text in written.items():
        (root / file).write_text(text)
    return list(written)


def _planned(name: str, resource: str, group: str, root: Path) -> NewTool:
    """Return the tool, if everything about it fits."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise AddToolError(
            f"NAME={name}: use two or more words of lower-case letters and digits, such as check_coverage."
        )
    schema = json.loads((root / "policies" / "schema.json").read_text())
    ((namespace, declared),) = schema.items()
    if name in declared["actions"]:
        raise AddToolError(f"NAME={name}: there is such an action already; choose another name.")
    sandbox: Mapping[str, Any] = yaml.safe_load((root / SANDBOX).read_text())
    kinds = {kind: next(iter(each)) for kind, each in sandbox["records"].items()}
    fitting = [entity for entity in declared["entityTypes"] if entity.lower() in kinds]
    if resource not in fitting:
        raise AddToolError(
            f"RESOURCE={resource}: use one of {', '.join(fitting)}, which the schema and the sandbox know."
        )
    groups = json.loads((root / "policies" / "groups.json").read_text())
    callers = [
        person
        for person, facts in sandbox["people"].items()
        if group in facts["groups"] and not facts.get("suspended")
    ]
    if group not in groups or not callers:
        known = sorted({each for facts in sandbox["people"].values() for each in facts["groups"]})
        raise AddToolError(
            f"GROUP={group}: use one of {', '.join(known)}, which people of the sandbox are in."
        )
    return NewTool(name, resource, group, namespace, kinds[resource.lower()], callers[0])


def _with_function(source: str, new: NewTool) -> str:
    """Return the module with the tool in the last function that returns a list of tools, and in that list."""
    returns = [
        (node, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Return) and isinstance(node.value, ast.List)
    ]
    if not returns:
        raise AddToolError(
            f"{TOOLS}: no function ends with `return [...]`, a list of tools: add the tool by hand."
        )
    last, listed = max(returns, key=lambda found: found[0].lineno)
    lines = source.splitlines(keepends=True)
    before, after = lines[: last.lineno - 1], lines[last.end_lineno or last.lineno :]
    names = [*(ast.unparse(element) for element in listed.elts), new.name]
    returned = "".join(f"        {each},\n" for each in names)
    return "".join([*before, new.function(), f"    return [\n{returned}    ]\n", *after])


def _before_last(text: str, mark: str, added: str) -> str:
    """Return the text with something added before the last occurrence of a mark."""
    head, found, tail = text.rpartition(mark)
    if not found:
        raise AddToolError(
            f"There is no place for it: `{mark.strip()}` was not found. Add the tool by hand (docs/customise.md)."
        )
    return f"{head}{added}{found}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make add-tool", description=__doc__)
    parser.add_argument("name", help="the tool's name, such as check_coverage")
    parser.add_argument(
        "--resource", required=True, help="entity of the schema that it acts on, such as Claim"
    )
    parser.add_argument("--group", required=True, help="group whose members may call it, such as handlers")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        files = add(arguments.name, arguments.resource, arguments.group)
    except AddToolError as error:
        console.print("[red]✗[/]", Text(str(error)))
        return 2
    for file in files:
        console.print("[green]✓[/]", Text(file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
