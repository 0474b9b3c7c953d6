"""A run that serves restarts the assistant for a change of its code, and tells about one of the templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.processes.process import ProcessError
from local.run.serving import Watch, serve


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("fmops/agent/tools.py", "fmops/agent/prompts/desk.md", "policies/one.cedar", "app.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path


def settled(watch: Watch) -> list[Path]:
    """Return what has changed, once it has stayed the same between two looks."""
    assert watch.changed() == []
    return watch.changed()


def test_a_change_counts_once_when_it_is_complete(project: Path) -> None:
    watch, tools, prompt = (
        Watch(project, ("fmops",)),
        project / "fmops/agent/tools.py",
        project / "fmops/agent/prompts/desk.md",
    )
    assert watch.changed() == []
    tools.write_text("half of")
    assert watch.changed() == []
    prompt.write_text("after")
    assert watch.changed() == []
    assert watch.changed() == [prompt, tools]
    assert watch.changed() == []


@pytest.mark.parametrize("name", ["fmops/new.py", "fmops/deep/new.yaml"])
def test_new_and_removed_files_are_changes(project: Path, name: str) -> None:
    watch, path = Watch(project, ("fmops",)), project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert settled(watch) == [path]
    path.unlink()
    assert settled(watch) == [path]


@pytest.mark.parametrize(
    "name", ["fmops/__pycache__/tools.pyc", "fmops/.tools.py.swp", "fmops/tools.py~", "docs/a.md"]
)
def test_what_tools_leave_is_no_change(project: Path, name: str) -> None:
    watch, path = Watch(project, ("fmops",)), project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert settled(watch) == []


class Told(list[str]):
    """What was said to the developer."""

    def say(self, text: str, *_: Any) -> None:
        self.append(text)


class Deployed:
    """A runner whose restarts do what the script says; afterwards the developer presses Ctrl-C."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)
        self.alive = 0

    def check_alive(self) -> None:
        self.alive += 1

    def restart_code(self) -> None:
        if error := self._script.pop(0)():
            raise error


def run(project: Path, runner: Deployed, monkeypatch: pytest.MonkeyPatch, *looks: Any) -> Told:
    """Serve, with one of ``looks`` done before each look at the files."""
    todo, told = list(looks), Told()

    def look(_: float) -> None:
        if not todo:
            raise KeyboardInterrupt
        todo.pop(0)()

    monkeypatch.setattr("time.sleep", look)
    with pytest.raises(KeyboardInterrupt):
        serve(runner, told, root=project)  # type: ignore[arg-type]
    return told


def nothing() -> None:
    pass


def test_a_changed_tool_restarts_the_assistant(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Deployed(nothing)
    change = lambda: (project / "fmops/agent/tools.py").write_text("after")  # noqa: E731
    told = run(project, runner, monkeypatch, change, nothing, nothing)
    assert told[0] == "fmops/agent/tools.py changed: restarting the assistant"
    assert told[1].startswith("the assistant answers again")
    assert runner.alive == 3


def test_broken_code_is_told_and_the_next_change_is_tried(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Deployed(lambda: ProcessError("assistant ended: SyntaxError"), nothing)
    tools = project / "fmops/agent/tools.py"
    told = run(
        project,
        runner,
        monkeypatch,
        lambda: tools.write_text("broken"),
        nothing,
        lambda: tools.write_text("whole again"),
        nothing,
        nothing,
    )
    assert "SyntaxError" in told[1]
    assert "Change the code again" in told[1]
    assert told[3].startswith("the assistant answers again")
    assert runner.alive == 3  # a broken assistant is not looked at


def test_a_changed_policy_has_to_be_deployed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = lambda: (project / "policies/one.cedar").write_text("after")  # noqa: E731
    told = run(project, Deployed(), monkeypatch, change, nothing)
    assert told == ["policies/one.cedar changed: stop with Ctrl-C and run again to deploy it"]
