"""Whoever has no credentials, no local run, or a broken file gets a sentence with the remedy from every command."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from demo import accounts, history, script, tour
from fmops.agent import KNOWLEDGE
from fmops.assistant import welcome
from fmops.documents import DocumentsError
from fmops.toolkit import knowledge
from fmops.variants import sandbox
from fmops.written import UnreadableFileError, read_model, read_yaml
from local.__main__ import main as local_run
from local.aws.kernel.ports import check_ports
from settings import profiles
from settings.kinds import SettingsError

ROOT = Path(__file__).parents[2]
NOWHERE = "http://localhost:9"
LOCAL = {
    "AWS_ENDPOINT_URL": NOWHERE,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIALOCALDEVELOPER00",
    "AWS_SECRET_ACCESS_KEY": "local",
}
SITUATIONS = {
    "no local run": (LOCAL, f"Nothing answers at {NOWHERE}/: "),
    "nobody signed in": (
        {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"},
        "no AWS credentials",
    ),
    "no region": ({}, "There is no AWS region in this shell: set AWS_REGION"),
    "an unknown profile": ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
}
COMMANDS = [
    ["fmops.evaluation", "history"],
    ["fmops.evaluation", "evaluate"],
    ["ops.jobs", "analyse"],
    ["ops.forget", "--user", "somebody"],
    ["demo"],
    ["demo.token", "--user", "carla"],
    ["demo.audit"],
]


def run(command: list[str], environment: dict[str, str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell without anybody's AWS settings."""
    alone = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=alone,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("situation", "command"),
    [
        *(("no local run", command) for command in COMMANDS),
        *((situation, ["demo"]) for situation in SITUATIONS if situation != "no local run"),
    ],
    ids=str,
)
def test_a_command_without_a_deployment_says_what_is_missing(
    command: list[str], situation: str, tmp_path: Path
) -> None:
    environment, said = SITUATIONS[situation]
    done = run(command, environment, tmp_path)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr + done.stdout
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_dashboards_and_a_removal_say_it_too(tmp_path: Path) -> None:
    done = run(["observability.dashboards", "--cloudwatch", "--output", str(tmp_path)], LOCAL, tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    done = run(["ops.cost.survivors"], {}, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["nobody can be asked here: add YES=1 to remove it without a question"]


@pytest.mark.parametrize(
    ("module", "name", "load"),
    [
        (accounts, "DATA", accounts.load),
        (history, "HISTORY", history.load),
        (script, "SCRIPT", script.script.__wrapped__),
        (tour, "STEPS", lambda: tour.Tour("http://localhost", None)),  # type: ignore[arg-type]
        (welcome, "QUESTIONS", welcome.welcome.__wrapped__),
        (sandbox, "SANDBOX", sandbox.fixture.__wrapped__),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_broken_file_of_the_demo_or_the_agent_is_named_with_its_line(
    module: object, name: str, load: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.yaml"
    monkeypatch.setattr(module, name, path)
    assert callable(load)
    for text, said in (
        (
            "users:\n  carla: [claims\n  ben: x\n",
            r"broken\.yaml, line 3, column 6 is not YAML: .*: correct it",
        ),
        ("a: \x00", r"broken\.yaml is not YAML: it holds a character"),
        ("a: b: c", r"broken\.yaml, line 1, column 5 is not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(UnreadableFileError, match=said):
            load()
    path.unlink()
    with pytest.raises(UnreadableFileError, match="does not exist"):
        load()


def test_data_without_a_part_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "DATA", tmp_path / "data.yaml")
    for text, missing in (
        ("", "grants, records, tour, users"),
        ("users: {}\nrecords: {}\ntour: {}", "grants"),
    ):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(UnreadableFileError, match=rf"data\.yaml: {missing}: missing"):
            accounts.load()


class Row(BaseModel):
    """A model of a file."""

    name: str


def test_a_field_that_is_wrong_is_named_without_its_value(tmp_path: Path) -> None:
    path = tmp_path / "row.yaml"
    path.write_text("name: {secret: value}")
    with pytest.raises(UnreadableFileError, match=r"row\.yaml: name: .*valid string: correct it") as refused:
        read_model(Row, path)
    assert "secret" not in str(refused.value)
    path.write_text("name: ä")
    assert (read_model(Row, path).name, read_yaml(path)) == ("ä", {"name": "ä"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Just text", "begin the file with its header"),
        ("title: A\nclassification\n---\ntext", "write each line as `name: value`"),
        ("title: A\n---\ntext", "the header has no classification"),
    ],
)
def test_a_broken_document_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(text)
    with pytest.raises(DocumentsError, match=r"a\.md \(.* bytes\): ") as refused:
        knowledge.load(tmp_path)
    assert said in str(refused.value)
    assert knowledge.load(KNOWLEDGE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"context": {', "cdk.json is not a JSON object (Expecting property name"),
        ("[]", "cdk.json is not a JSON object"),
        (json.dumps({"app": "x"}), "cdk.json has no object 'context'"),
        (None, "cdk.json cannot be read (No such file or directory)"),
    ],
)
def test_a_broken_cdk_json_is_a_sentence(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cdk.json"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(profiles, "CDK_JSON", path)
    with pytest.raises(SettingsError) as refused:
        profiles.read_context()
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("base", ["0", "80", "70000", "65530", "-5", "x", "1e4"])
def test_a_port_base_that_cannot_be_one_is_refused_before_anything_starts(
    base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        local_run(["up", f"--port-base={base}"])
    assert "is not a number from 1024 to 65526" in capsys.readouterr().err


def test_a_port_that_does_not_exist_is_left_to_the_settings() -> None:
    check_ports({"the assistant": 99_999}, "--port-base")


def test_every_module_that_the_makefile_runs_exists() -> None:
    modules = set(re.findall(r"\$\(BIN\)/python (?:-W ignore )?-m ([\w.]+)", (ROOT / "Makefile").read_text()))
    assert {"local", "demo", "ops.jobs", "fmops.evaluation"} <= modules
    for name in modules - {"pip", "pytest"}:
        found = importlib.util.find_spec(name)
        assert found is not None, name
        runs = f"{name}.__main__" if found.submodule_search_locations is not None else name
        assert importlib.util.find_spec(runs) is not None, f"{name} cannot be run"
