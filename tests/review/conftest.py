"""Tasks, and MLflow's real store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from fmops.interaction import GuardrailFinding, GuardrailOutcome, RetrievedDocument, ToolCall, timestamp
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import ReviewTask, Stratum
from tests.documented import documented  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty store, of which each test gets a copy, since a new one takes seconds to make."""
    path: Path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowReview(f"sqlite:///{path}").reviewed()
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_store, tmp_path)}"


@pytest.fixture
def review(uri: str) -> Iterator[MlflowReview]:
    yield MlflowReview(uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def make_task() -> Callable[..., ReviewTask]:
    numbers = iter(range(1_000_000))

    def make(**changes: Any) -> ReviewTask:
        task_id = f"int-{next(numbers):032x}"
        finding = GuardrailFinding(category="insult", score=0.55, detector="toxicity")
        given = {
            "task_id": task_id,
            "interaction_id": task_id,
            "trace_id": "a" * 32,
            "user": "b" * 32,
            "day": "2026-11-20",
            "stratum": Stratum.LOW_FEEDBACK,
            "reason": "rated not helpful",
            "population": 10,
            "sampled": 2,
            "question": "What is covered?",
            "answer": "Nothing.",
            "retrieved": [RetrievedDocument(document_id="motor-collision", score=0.7)],
            "guardrails": [GuardrailOutcome(direction="input", action="allow", findings=[finding])],
            "tool_calls": [ToolCall(name="search_policy_docs", status="success")],
            "finish_reason": "stop",
            "model_id": "m",
            "prompt_version": "3",
            "started_at": timestamp(),
        }
        return ReviewTask.model_validate(given | changes)

    return make
