"""Tasks are traces and labels are assessments, on MLflow's real store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import mlflow
import pytest
from mlflow.entities import AssessmentSource

from fmops.review.backend import NoSuchTaskError, ReviewUnavailableError
from fmops.review.labels import State
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import Label, ReviewTask

Make = Callable[..., ReviewTask]


def test_a_task_becomes_a_trace_with_its_context_once(
    review: MlflowReview, uri: str, make_task: Make
) -> None:
    tasks = [make_task(), make_task()]
    assert review.submit(tasks) == 2
    assert MlflowReview(uri).submit([*tasks, make_task()]) == 1
    assert MlflowReview(uri).task(tasks[0].task_id).task == tasks[0]
    (trace,) = mlflow.search_traces(
        locations=[mlflow.get_experiment_by_name("review").experiment_id],
        filter_string=f"tags.`fmops.interaction.id` = '{tasks[0].task_id}'",
        return_type="list",
    )
    assert trace.info.tags["fmops.trace_id"] == "a" * 32
    assert "What is covered?" in trace.info.request_preview
    assert [span.name for span in trace.data.spans] == [
        "interaction",
        "retrieved",
        "search_policy_docs",
        "guardrails",
    ]


def test_labels_are_assessments_by_people(review: MlflowReview, uri: str, make_task: Make) -> None:
    task = make_task()
    review.submit([task])
    good = Label(task_id=task.task_id, reviewer="r1", verdict="good")
    bad = Label(
        task_id=task.task_id,
        reviewer="r2",
        verdict="bad",
        category="correctness",
        corrected_answer="Water damage.",
        comment="the document says so",
    )
    assert review.label(good).state is State.OPEN
    assert review.label(bad).state is State.DISAGREED
    other = MlflowReview(uri)
    assert other.task(task.task_id).labels == [good, bad]
    final = bad.model_copy(update={"reviewer": "r3", "adjudicates": True, "labelled_at": "2026-11-25T00:00Z"})
    assert other.label(final).corrected_answer == "Water damage."
    (found,) = [each for each in review.reviewed() if each.task == task]
    assert (found.state, found.verdict) == (State.SETTLED, "bad")
    trace = mlflow.search_traces(
        locations=[mlflow.get_experiment_by_name("review").experiment_id],
        filter_string=f"tags.`fmops.interaction.id` = '{task.task_id}' AND tags.`fmops.review.state` = 'settled'",
        return_type="list",
    )[0]
    assert {
        (each.name, each.source.source_type, each.source.source_id) for each in trace.info.assessments
    } == {
        ("verdict", "HUMAN", "r1"),
        ("verdict", "HUMAN", "r2"),
        ("expected_response", "HUMAN", "r2"),
        ("verdict", "HUMAN", "r3"),
        ("expected_response", "HUMAN", "r3"),
    }


def test_what_is_not_ours_is_left_alone(review: MlflowReview, make_task: Make) -> None:
    task = make_task()
    review.submit([task])
    experiment = mlflow.get_experiment_by_name("review").experiment_id
    (trace,) = mlflow.search_traces(
        locations=[experiment],
        filter_string=f"tags.`fmops.interaction.id` = '{task.task_id}'",
        return_type="list",
    )
    mlflow.log_feedback(trace_id=trace.info.trace_id, name="verdict", value="perhaps")
    mlflow.log_feedback(trace_id=trace.info.trace_id, name="groundedness", value=True)
    foreign = mlflow.start_span_no_context("foreign", experiment_id=experiment)
    foreign.end()
    assert review.task(task.task_id).labels == []
    assert all(each.task.question for each in review.reviewed())


def test_a_label_for_nothing_is_refused(review: MlflowReview) -> None:
    with pytest.raises(NoSuchTaskError):
        review.label(Label(task_id="int-none", reviewer="r", verdict="good"))


def test_a_users_tasks_and_labels_can_be_forgotten(review: MlflowReview, uri: str, make_task: Make) -> None:
    mine, theirs = make_task(user="c" * 32), make_task(user="d" * 32)
    review.submit([mine, theirs])
    review.label(Label(task_id=mine.task_id, reviewer="r", verdict="good"))
    fresh = MlflowReview(uri)
    assert fresh.forget("c" * 32) == 1
    there = [each.task for each in fresh.reviewed()]
    assert mine not in there
    assert theirs in there


def test_mlflow_away_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(ReviewUnavailableError, match="MLflow did not answer"):
        MlflowReview("http://localhost:9").reviewed()
    mlflow.set_tracking_uri(None)


def test_a_run_that_did_not_see_anothers_traces_makes_none_of_its_own(
    review: MlflowReview, uri: str, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [make_task(), make_task()]
    review.submit(tasks)
    review.label(Label(task_id=tasks[0].task_id, reviewer="r1", verdict="good"))
    blind = MlflowReview(uri)
    search, nothing_yet = blind._search, iter([()])
    monkeypatch.setattr(blind, "_search", lambda *given, **named: next(nothing_yet, search(*given, **named)))
    assert blind.submit(tasks) == 2
    experiment = mlflow.get_experiment_by_name("review").experiment_id
    traces = mlflow.search_traces(locations=[experiment], return_type="list")
    mine = [
        each for each in traces if each.info.tags.get("fmops.interaction.id") in {t.task_id for t in tasks}
    ]
    assert [len(each.data.spans) for each in mine] == [4, 4]
    (labelled,) = [each for each in review.reviewed() if each.task == tasks[0]]
    assert [each.reviewer for each in labelled.labels] == ["r1"]


def test_a_task_that_was_made_twice_before_is_one_task_with_the_labels_of_both(
    review: MlflowReview, uri: str, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    review.submit([task])
    with monkeypatch.context() as patch:
        patch.setattr("fmops.review.mlflow_review._ids_of", lambda _: nullcontext())
        review._trace(mlflow, task)
    experiment = mlflow.get_experiment_by_name("review").experiment_id
    traces = mlflow.search_traces(
        locations=[experiment],
        filter_string=f"tags.`fmops.interaction.id` = '{task.task_id}'",
        return_type="list",
    )
    assert len(traces) == 2
    for number, trace in enumerate(traces):
        mlflow.log_feedback(
            trace_id=trace.info.trace_id,
            name="verdict",
            value="good",
            source=AssessmentSource(source_type="HUMAN", source_id=f"r{number}"),
        )
    (found,) = [each for each in MlflowReview(uri).reviewed() if each.task == task]
    assert {each.reviewer for each in found.labels} == {"r0", "r1"}
