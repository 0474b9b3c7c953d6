"""The registry's writer, on MLflow's real store: versions, the alias, and the record of its moves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fmops.evaluation.registry import GATES, MOVES, REASONS, PromptRegistry
from fmops.prompts import Prompt, PromptError

NAME = "claims-desk"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def registry(uri: str) -> PromptRegistry:
    made = PromptRegistry(uri)
    for text in ("One.", "Two. {{today}}", "Three."):
        made.register(NAME, text, message="a test")
    return made


def test_versions_are_numbered_and_the_same_text_is_no_new_one(registry: PromptRegistry) -> None:
    assert registry.register(NAME, "Three.", message="again") == Prompt(NAME, "3", "Three.")
    assert [prompt.version for prompt in registry.versions(NAME)] == ["3", "2", "1"]
    assert registry.versions("unknown") == []


def test_a_prompt_that_cannot_serve_is_not_registered(registry: PromptRegistry) -> None:
    with pytest.raises(PromptError, match=r"{{user}}, which cannot be filled"):
        registry.register(NAME, "Hello {{user}}", message="bad")
    assert len(registry.versions(NAME)) == 3


def test_promotions_and_rollbacks_move_the_alias_and_are_recorded(registry: PromptRegistry) -> None:
    with pytest.raises(PromptError, match="has no promotion to roll back"):
        registry.rollback(NAME, by="me", reason="nothing")
    registry.promote(NAME, "1", by="me", reason="first")
    registry.promote(NAME, "3", by="you", reason="better", evidence="run-1")
    assert registry.serving(NAME) == Prompt(NAME, "3", "Three.")
    with pytest.raises(PromptError, match="has the alias production already"):
        registry.promote(NAME, "3", by="me", reason="again")
    registry.rollback(NAME, by="me", reason="worse after all")
    assert registry.serving_version(NAME) == "1"
    registry.rollback(NAME, by="me", reason="even that")
    assert registry.serving(NAME) is None
    moves = [(move.action, move.from_version, move.to_version, move.by) for move in registry.history(NAME)]
    assert moves == [
        ("rollback", "1", "", "me"),
        ("rollback", "3", "1", "me"),
        ("promote", "1", "3", "you"),
        ("promote", "", "1", "me"),
    ]


def test_how_things_stand_is_told_from_the_alias_the_moves_and_the_gates_decisions(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    registry, client = PromptRegistry(uri), MlflowClient(uri)
    assert registry.standing(NAME) == {"serving": "", "move": None, "gate": None}
    registry.register(NAME, "One.", message="a test")
    registry.promote(NAME, "1", by="olga", reason="better")
    experiment = client.create_experiment(GATES)
    for name, decision in (("gate: a", "promote"), ("gate: b", "refuse"), ("evaluation c", "")):
        run = client.create_run(experiment, run_name=name, tags={REASONS: f"reasons of {name}"})
        client.log_param(run.info.run_id, "decision", decision)
        client.log_param(run.info.run_id, "candidate", name[-1])
        client.set_terminated(run.info.run_id)
    client.create_run(experiment, run_name="gate: under way")
    shown = registry.standing(NAME)
    assert shown["serving"] == "1"
    assert (shown["move"]["action"], shown["move"]["by"], shown["move"]["reason"]) == (
        "promote",
        "olga",
        "better",
    )
    datetime.fromisoformat(shown["move"]["at"])
    assert {name: shown["gate"][name] for name in ("decision", "candidate", "reasons")} == {
        "decision": "refuse",
        "candidate": "b",
        "reasons": "reasons of gate: b",
    }


def test_a_version_that_is_not_there_is_named_with_those_that_are(registry: PromptRegistry) -> None:
    for version in ("9", "x"):
        with pytest.raises(PromptError, match=f"has no version {version}: there are 1, 2, 3"):
            registry.promote(NAME, version, by="me", reason="")


def test_a_move_that_fails_is_not_recorded_as_made(
    registry: PromptRegistry, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.history(NAME)

    def away(*_: object) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(registry._client, "set_prompt_alias", away)
    with pytest.raises(MlflowException):
        registry.promote(NAME, "2", by="me", reason="")
    assert registry.history(NAME) == before
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(MOVES)
    assert experiment is not None
    assert client.search_runs([experiment.experiment_id])[0].info.status == "FAILED"
