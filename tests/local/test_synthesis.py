"""An assembly is kept as long as nothing that synthesis reads has changed, and no longer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes.programs import ROOT
from local.run.synthesis import RECORD, SynthesisError, synthesize

APP = """
import json, os, pathlib, sys
import settings
from fmops import partitions
here = pathlib.Path(__file__).parent
made = [path.read_text() for path in sorted((here / "policies").glob("*.cedar"))]
(pathlib.Path(os.environ["CDK_OUTDIR"]) / "manifest.json").write_text(json.dumps([made, sys.argv[1:]]))
if settings.REFUSED:
    sys.exit("refused")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "app.py": APP,
        "settings.py": "REFUSED = False",
        "policies/one.cedar": "permit",
        "lambdas/greet/handler.py": "1",
        "fmops/__init__.py": "",
        "fmops/partitions.py": "FORMAT = 'dt'",
        "fmops/tools.py": "1",
        "docs/guide.md": "hello",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def again(project: Path, **context: str) -> bool:
    """Return whether the assembly was kept."""
    return synthesize(project / "build" / "cdk.out", app=project / "app.py", context=context, reuse=True)


def test_an_assembly_is_made_once_while_nothing_changes(project: Path) -> None:
    assert not again(project)
    made = project / "build" / "cdk.out" / "manifest.json"
    made.write_text("kept")
    assert again(project)
    assert made.read_text() == "kept"


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "settings.py").write_text("REFUSED = 0"),
        lambda at: (at / "policies/one.cedar").write_text("forbid"),
        lambda at: (at / "policies/two.cedar").write_text("forbid"),
        lambda at: (at / "policies/one.cedar").rename(at / "policies/two.cedar"),
        lambda at: (at / "policies/one.cedar").unlink(),
        lambda at: (at / "lambdas/greet/handler.py").write_text("2"),  # packed by a process of CDK's
        lambda at: (at / "lambdas/greet/more.py").write_text(""),
        lambda at: (at / "fmops/partitions.py").write_text("FORMAT = 'day'"),
        lambda at: (at / "build/cdk.out/read.json").write_text("not a record"),
        lambda at: (at / "build/cdk.out/read.json").unlink(),
    ],
)
def test_a_change_of_what_synthesis_reads_makes_it_anew(
    project: Path, change: Callable[[Path], object]
) -> None:
    again(project)
    change(project)
    assert not again(project)
    assert again(project)


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "fmops/tools.py").write_text("2"),
        lambda at: (at / "docs/guide.md").write_text("2"),
        lambda at: (at / "build/log").write_text("2"),
        lambda at: (at / "app.py").touch(),
    ],
)
def test_a_change_of_anything_else_does_not(project: Path, change: Callable[[Path], object]) -> None:
    again(project)
    change(project)
    assert again(project)


def test_other_arguments_make_it_anew(project: Path) -> None:
    again(project, profile="dev")
    assert not again(project, profile="prod")


def test_without_reuse_it_is_always_made(project: Path) -> None:
    again(project)
    assert not synthesize(project / "build" / "cdk.out", app=project / "app.py")


def test_a_failure_keeps_nothing(project: Path) -> None:
    again(project)
    (project / "settings.py").write_text("REFUSED = True")
    with pytest.raises(SynthesisError, match="refused"):
        again(project)
    (project / "settings.py").write_text("REFUSED = False")
    assert not again(project)


def test_the_project_reads_settings_policies_and_schemas_but_neither_prompts_nor_tools(
    tmp_path: Path,
) -> None:
    synthesize(tmp_path, context={"profile": "dev"})
    record = json.loads((tmp_path / RECORD).read_text())
    read = {str(Path(each).relative_to(ROOT)) for each in record["files"]}
    assert {"app.py", "cdk.json", "settings/environment.py", "fmops/interaction.schema.json"} <= read
    assert any(each.startswith("policies/") for each in read)
    assert not {"fmops/agent/tools.py", "fmops/agent/prompts/claims_desk.md"} & read
    assert not any(each.startswith("fmops/assistant/") for each in read)
