"""The notebooks run from top to bottom on the sample, and show what their words promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docs.notebooks import sample_lake

NOTEBOOKS = sorted(Path(sample_lake.__file__).parent.glob("*.ipynb"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks") / "lake"
    sample_lake.make(folder)
    return folder


@pytest.fixture(autouse=True)
def of_the_sample(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMOPS_LAKE_FOLDER", str(sample))
    monkeypatch.delenv("FMOPS_LAKE", raising=False)


def executed(name: str) -> dict[str, Any]:
    """Run a notebook's cells in order, and return its names."""
    names: dict[str, Any] = {}
    (notebook,) = [each for each in NOTEBOOKS if each.stem == name]
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
    return names


def test_there_are_no_other_notebooks_and_none_holds_output() -> None:
    assert {each.stem for each in NOTEBOOKS} == {"query_the_lake", "read_a_drift", "compare_two_prompts"}
    for notebook in NOTEBOOKS:
        assert not any(each.get("outputs") for each in json.loads(notebook.read_text("utf-8"))["cells"])


def test_the_lake_is_queried() -> None:
    found = executed("query_the_lake")
    (_, answers, rated, disliked), (_, __, ___, disliked_less) = found["by_prompt"].fetchall()
    assert (answers, rated) == (sample_lake.NEW_PROMPT * sample_lake.ROWS, answers // 4)
    assert disliked > disliked_less
    assert [row[:3] for row in found["blocked"].fetchall()] == [("input", "checks", "insult")]
    assert [row[:2] for row in found["denied"].fetchall()] == [("get_claim", "not_permitted")]
    assert all(row[2].startswith("/why?trace=") for row in found["slowest"].fetchall())


def test_a_drift_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = executed("read_a_drift")
    assert [each.alert for each in found["results"]] == [False, False, False, True]
    (topic, *_) = found["last"].findings.new_topics
    assert topic.since == "2026-09-17"
    said = capsys.readouterr().out
    assert "scooter" in said
    assert sample_lake.NEW in said
    assert "new_topic" in said


def test_two_prompts_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    found = executed("compare_two_prompts")
    assert found["disliked"]["1"].value > found["disliked"]["2"].high
    assert (found["comparison"].better, found["comparison"].worse) == (7, 1)
    assert found["comparison"].p_better < 0.05
    assert "cases better" in capsys.readouterr().out
