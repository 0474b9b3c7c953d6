"""Every command, query and piece of code on a page can be run: its targets, options, modules and names exist.

What is cheap is run, in `test_tutorial.py` and in the tests that pages name; `.ci/run` runs the README's commands.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import dropwhile
from pathlib import Path

import botocore.session
import cedarpy
import duckdb
import pytest
import yaml
from botocore import xform_name

from tests.docs.test_links import PAGES, ROOT

BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(make [a-z][^`]*|python -m [^`]+)`")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
SHELLS = ("console", "bash", "sh")
PROGRAMS = {"cd", "cp", "curl", "git", "make", "aws", "python", "mlflow", "pip", "npm", "rm"}
OF_MAKE = {"PYTHON", "ENVIRONMENT"}
OF_THE_CLI = {"--region", "--query", "--output", "--profile", "--no-cli-pager"}
SERVICES = {"s3api": "s3", "configservice": "config"}
# Pages that record what was, in words of their time.
PAST = {ROOT / "CHANGELOG.md"}


def blocks(*kinds: str) -> list[tuple[str, str]]:
    """Return the blocks of the given kinds, each with the page and line where it stands."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for each in BLOCK.finditer(text):
            if each[1] in kinds:
                line = text.count("\n", 0, each.start()) + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", each[2]))
    return found


def commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each command of a script, those within ``$(…)`` too."""
    for line in script.replace("\\\n", " ").splitlines():
        for inner in re.findall(r"\$\(([^()]*)\)", line):
            yield from commands(inner)
        words = shlex.shlex(re.sub(r"\$\([^()]*\)", "VALUE", line), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = "#"
        command: list[str] = []
        for word in words:
            if set(word) <= set("|&;<>"):
                yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command


def faults(command: list[str]) -> list[str]:
    """Return what is wrong with a command."""
    command = list(dropwhile(re.compile(r"[A-Z_]+=").match, command))
    match command:
        case []:
            return []
        case ["make", *words]:
            return faults_of_make(words)
        case ["aws", service, operation, *words]:
            return faults_of_aws(service, operation, words)
        case ["python" | ".venv/bin/python", "-m", module, *_]:
            return [] if module_exists(module) else [f"there is no module {module}"]
        case [program, *_]:
            return [] if program.rpartition("/")[2] in PROGRAMS else [f"{program}: what is this?"]
    return []


def faults_of_make(words: list[str]) -> list[str]:
    found = []
    for word in words:
        name, equals, _ = word.partition("=")
        if word.startswith("-"):
            continue
        if not equals and not re.search(rf"^{re.escape(name)}:", MAKEFILE, re.MULTILINE):
            found.append(f"make has no target {name}")
        if equals and name not in OF_MAKE and not re.search(rf"[( ,]{name}\)", MAKEFILE):
            found.append(f"make knows no variable {name}")
    return found


@cache
def operations(service: str) -> dict[str, set[str]]:
    """Return the options of each of a service's commands."""
    model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
    return {
        xform_name(name, "-"): {f"--{xform_name(member, '-')}" for member in (shape.members if shape else ())}
        for name in model.operation_names
        for shape in [model.operation_model(name).input_shape]
    }


def faults_of_aws(service: str, operation: str, words: list[str]) -> list[str]:
    try:
        known = operations(service)
    except botocore.exceptions.UnknownServiceError:
        return [f"AWS has no service {service}"]
    if operation not in known:
        return [f"{service} has no operation {operation}"]
    options = {word for word in words if word.startswith("--")}
    return [f"{operation} has no option {each}" for each in options - known[operation] - OF_THE_CLI]


def module_exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize(("where", "script"), blocks(*SHELLS))
def test_each_command_exists_with_its_options(where: str, script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert [fault for command in commands(script) if command for fault in faults(command)] == []


@pytest.mark.parametrize("page", [each for each in PAGES if each not in PAST], ids=lambda page: page.name)
def test_each_command_within_a_sentence_exists(page: Path) -> None:
    for command in INLINE.findall(page.read_text("utf-8")):
        words = [each for each in re.sub(r"\s+", " ", command).replace("…", "x").split(" ") if each != "..."]
        named = [each for each in words if "=" in each or each.islower()][:2] if words[0] == "make" else words
        assert faults(named) == [], command


@pytest.mark.parametrize(("where", "script"), blocks(*SHELLS))
def test_make_would_run_each_of_its_commands(where: str, script: str) -> None:
    for command in commands(script):
        if command[:1] == ["make"]:
            words = [word for word in command[1:] if not word.startswith("-")]
            done = subprocess.run(
                ["make", "--dry-run", "ENVIRONMENT=fmops-dev", *words],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


@pytest.mark.parametrize(("where", "code"), blocks("python"))
def test_python_is_python_and_imports_what_there_is(where: str, code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("fmops", "settings")
        ):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or module_exists(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            assert all(module_exists(alias.name) for alias in node.names)


@pytest.mark.parametrize(("where", "query"), blocks("sql"))
def test_sql_can_be_parsed(where: str, query: str) -> None:
    assert duckdb.extract_statements(query)


@pytest.mark.parametrize(("where", "text"), blocks("json"))
def test_json_is_json(where: str, text: str) -> None:
    whole = text if text.lstrip().startswith(("{", "[")) else "{" + text.strip().rstrip(",") + "}"
    json.loads(re.sub(r", …|…,? ?", "", whole))


@pytest.mark.parametrize(("where", "text"), blocks("yaml"))
def test_yaml_is_yaml(where: str, text: str) -> None:
    assert yaml.safe_load(text) is not None


@pytest.mark.parametrize(("where", "text"), blocks("cedar"))
def test_cedar_is_cedar(where: str, text: str) -> None:
    whole = (
        text
        if re.search(r"^(permit|forbid)\b", text, re.MULTILINE)
        else f"permit (principal, action, resource)\n{text}"
    )
    assert cedarpy.policies_to_json_str(whole)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("make tyr", "make has no target tyr"),
        ("make try ASKED=x", "make knows no variable ASKED"),
        ("make -s token USER=x | git apply", ""),
        ("A=$(make nothing)", "make has no target nothing"),
        ("aws dynamodb restore-tables --x", "dynamodb has no operation restore-tables"),
        (
            "aws s3api list-object-versions --bucket b --prefixes p",
            "list-object-versions has no option --prefixes",
        ),
        ("aws nothing list", "AWS has no service nothing"),
        ("python -m fmops.nothing", "there is no module fmops.nothing"),
        ("terraform apply", "terraform: what is this?"),
        ("make test && make lint  # make nothing", ""),
    ],
)
def test_what_is_wrong_is_found(script: str, fault: str) -> None:
    assert [each for command in commands(script) if command for each in faults(command)] == (
        [fault] if fault else []
    )
