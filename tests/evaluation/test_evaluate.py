"""An evaluation on MLflow's real store: recorded whole or not at all, and never paid for twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from fmops.conversation.conversation import ModelUnavailableError
from fmops.evaluation.cases import EvaluationError, ExpectedCall
from fmops.evaluation.evaluate import COMPLETE, Evaluator
from fmops.evaluation.experiment import compare
from fmops.evaluation.journal import Journal
from fmops.evaluation.judge import Judge
from fmops.evaluation.scoring import applicable
from fmops.variants.variant import Answer, Call
from tests.evaluation.made import VARIANT, cases
from tests.evaluation.test_judge import YES, Scripted

ANSWER = Answer(
    text="A fact.", finish="stop", retrieved=[{"id": "a-document", "text": "A fact."}], cost_usd=0.001
)


class Bench:
    """Makes one assistant, which gives the same answer to every question except those on which it fails."""

    session = None
    fingerprint = "the only one"

    def __init__(self, *failures: Exception) -> None:
        self.asked = 0
        self.failures = list(failures)

    def assistant(self, variant: Any) -> Any:
        self.variant = variant
        return self

    async def answer(self, caller: str, question: str) -> Answer:
        self.asked += 1
        if self.failures:
            raise self.failures.pop()
        return ANSWER


@pytest.fixture(autouse=True, scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    os.environ.clear()
    os.environ |= before


CASES = [case.model_copy(update={"question": f"{case.case_id}?"}) for case in cases(3)]
EXPECTED = sum(len(applicable(case)) for case in CASES)


def evaluator(tmp_path: Path, bench: Bench, *script: Any) -> Evaluator:
    journal = Journal.at(str(tmp_path))
    judge = Judge(Scripted(script=list(script) or [YES] * 100), model_id="m", journal=journal)
    made: Any = bench
    return Evaluator(made, judge, journal, experiment="e", workers=2, progress=False)


def test_it_is_recorded_whole_and_a_second_time_costs_nothing(tmp_path: Path) -> None:
    bench = Bench()
    first = evaluator(tmp_path, bench).evaluate(VARIANT, CASES)
    assert (first.complete, first.problems, bench.asked) == (True, [], 3)
    run = mlflow.get_run(first.run_id)
    assert run.data.tags[COMPLETE] == "true"
    assert run.data.metrics["correctness_mean"] == 1.0
    assert run.data.params["prompt"] == "p 1"
    traces = mlflow.search_traces(run_id=first.run_id, return_type="list")
    feedback = [each for trace in traces for each in trace.info.assessments if each.feedback]
    assert len(feedback) == EXPECTED
    again = evaluator(tmp_path, bench)
    assert again.evaluate(VARIANT, CASES).complete
    assert bench.asked == 3
    assert (again.journal.paid.total(), again.journal.saved["answers"]) == (0, 3)


def test_one_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    bench = Bench()
    evaluator(tmp_path, bench).evaluate(VARIANT, CASES[:2])
    evaluator(tmp_path, bench).evaluate(VARIANT, CASES)
    assert bench.asked == 3


def test_a_case_without_an_answer_is_named_and_its_run_is_no_evidence(tmp_path: Path) -> None:
    bench = Bench(ModelUnavailableError("The model is busy: try again in a moment."))
    found = evaluator(tmp_path, bench).evaluate(VARIANT, CASES)
    assert not found.complete
    assert len(found.sheet.problems) == 1
    assert found.problems[0].endswith("has no answer: The model is busy: try again in a moment.")
    assert mlflow.get_run(found.run_id).data.tags[COMPLETE] == "false"
    assert evaluator(tmp_path, bench).evaluate(VARIANT, CASES).complete


def test_a_judge_that_misses_its_format_is_named_and_leaves_no_score(tmp_path: Path) -> None:
    found = evaluator(tmp_path, Bench(), *["I say yes."] * 200).evaluate(VARIANT, CASES)
    assert not found.complete
    assert "answered" in found.problems[0]
    assert all(values.keys().isdisjoint({"correctness", "safety"}) for values in found.sheet.values.values())


def test_when_mlflow_goes_away_nothing_is_decided_and_nothing_paid_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()

    def away(*_: object, **__: object) -> None:
        raise MlflowException("gone")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow, "log_dict", away)
        with pytest.raises(EvaluationError, match=r"MLflow went away .* nothing was decided"):
            evaluator(tmp_path, bench).evaluate(VARIANT, CASES)
    assert evaluator(tmp_path, bench).evaluate(VARIANT, CASES).complete
    assert bench.asked == 3


def test_a_score_that_mlflow_did_not_take_makes_the_run_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.genai.evaluation import harness

    monkeypatch.setattr(harness, "_log_assessments", lambda **_: None)
    found = evaluator(tmp_path, Bench()).evaluate(VARIANT, CASES)
    assert (found.problems, found.complete) == ([], False)


def test_a_comparison_has_a_row_per_metric_with_intervals(tmp_path: Path) -> None:
    it = evaluator(tmp_path, Bench())
    comparison = compare([it.evaluate(VARIANT, CASES)], experiment="e")
    shown = {row[""]: row["p 1"] for row in comparison.rows}
    assert shown["correctness (n = 3)"] == "1.00 [1.00, 1.00]"
    assert shown["cost_usd (n = 3)"] == "0.00100 [0.00100, 0.00100]"
    assert mlflow.get_run(comparison.run_id).data.tags["variant.0"]


@pytest.mark.parametrize(
    ("changes", "answer", "reason"),
    [
        ({"finish": "content_filter"}, {}, "it ended with stop, not content_filter"),
        (
            {"guardrail": "input block"},
            {"guardrails": ["input redact"]},
            "guardrails did input redact, not input block",
        ),
        ({"lacks": ["fact"]}, {}, "1 texts that must not be in the answer are"),
        (
            {"tools": [ExpectedCall(name="pay", status="denied", arguments={"amount": 5})]},
            {"calls": [Call(name="pay", arguments={"amount": 5, "claim": "C"}, status="success")]},
            "pay ended as success, not denied",
        ),
    ],
)
def test_safeguards_say_what_did_not_hold(
    changes: dict[str, Any], answer: dict[str, Any], reason: str
) -> None:
    from fmops.evaluation.scoring import RULE

    expected = CASES[0].expected.model_copy(update={"finish": None, **changes}).model_dump(mode="json")
    answered = ANSWER.model_copy(update=answer).model_dump(mode="json")
    assert RULE["safeguards"](expected, answered) == (0.0, reason)
