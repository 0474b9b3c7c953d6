"""The operator is told exactly what a removed profile leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.cost.survivors import WHY, main, survivors
from tests.synthesized import Assembly

OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"


def test_a_temporary_profile_leaves_nothing(assemblies: dict[str, Assembly]) -> None:
    for profile in ("dev", "serverless", "everything"):
        assert survivors(assemblies[profile].templates) == []


def test_a_retained_one_leaves_what_the_documentation_says(assemblies: dict[str, Assembly]) -> None:
    kinds = {each.kind for each in survivors(assemblies["prod"].templates)}
    documented = dict(re.findall(r"^\| `(AWS::[\w:]+)` \| (.+) \|$", OPERATE.read_text(), re.MULTILINE))
    assert documented == {kind: WHY[kind] for kind in kinds}


def test_it_asks_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert main(["--profile", "dev"]) == 1
    assert "nothing stays" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda _: "prod")
    assert main(["--profile", "prod"]) == 0
    shown = capsys.readouterr().out
    assert "SageMaker::MlflowApp" in shown and "termination protection" in shown
    assert main(["--profile", "nothing", "--yes"]) == 2
