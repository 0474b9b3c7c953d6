"""Judging captured answers with two judges: a budget, a day that is never paid for twice, and judges that are
away or talk nonsense."""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from fmops.capture import lake
from fmops.evaluation.judge import Grade, Judge, JudgeError
from fmops.interaction import Interaction, RetrievedDocument
from fmops.review.judging import KEEP_EVERY, Grader, Judged, judge
from fmops.review.labels import Reviewed
from fmops.review.model import JudgeScore, Label, Stratum
from fmops.review.outcome import judge_agreement
from fmops.review.sampling import SamplingSettings, draw

DAY = "2026-11-20"
DOCUMENTS = {"motor": "Collisions are covered."}


def source(retrieved: RetrievedDocument) -> tuple[str, str] | None:
    text = DOCUMENTS.get(retrieved.document_id)
    return ("Motor", text) if text else None


class Scripted:
    """A judge that grades by the question's number, and counts what it was asked."""

    def __init__(self, model_id: str, grades: Mapping[int, int], *, away_after: int | None = None) -> None:
        self.model_id = model_id
        self.asked: Counter[str] = Counter()
        self.shown: list[Mapping[str, str]] = []
        self._grades, self._away_after = grades, away_after

    def grade(self, criterion: str, sections: Mapping[str, str], *, case_id: str) -> Grade:
        if self._away_after is not None and len(self.asked) >= self._away_after:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Converse")
        self.asked[case_id] += 1
        self.shown.append(sections)
        grade = self._grades.get(int(case_id[-4:]), 10) if criterion == "relevance" else 9
        if grade < 0:
            raise JudgeError("case x: the judge answered in another form")
        return Grade(rationale="because", grade=grade)


def interaction(number: int, **changes: Any) -> Interaction:
    given: dict[str, Any] = {
        "interaction_id": f"int-{number:032}",
        "user": "u",
        "started_at": f"{DAY}T09:00:00Z",
        "input": f"question {number}",
        "output": f"answer {number}",
        "finish_reason": "stop",
    }
    return Interaction(**(given | changes))


def opened(directory: Path, records: Sequence[Interaction]) -> duckdb.DuckDBPyConnection:
    folder = directory / "interactions" / f"dt={DAY}" / "hour=09"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(gzip.compress(b"".join(each.line() for each in records)))
    return lake.connect(directory)


def judged(
    connection: duckdb.DuckDBPyConnection,
    judges: Sequence[Grader],
    *,
    budget: int = 100,
    kept: list[JudgeScore] | None = None,
) -> Judged:
    kept = [] if kept is None else kept
    return judge(
        connection,
        DAY,
        judges,
        budget=budget,
        known=list(kept),
        keep=lambda scores: kept.extend(scores),
        sources=source,
    )


def test_grades_put_answers_into_the_judges_strata(tmp_path: Path) -> None:
    retrieved = [RetrievedDocument(document_id="motor", score=0.9)]
    records = [interaction(number, retrieved=retrieved if number == 1 else []) for number in range(20)]
    connection = opened(
        tmp_path,
        [
            *records,
            interaction(99, output=""),
            interaction(98, finish_reason="error"),
            interaction(97, finish_reason="client_disconnect"),
        ],
    )
    judges = [Scripted("one", {1: 5, 2: 9}), Scripted("other", {1: 5, 2: 3})]
    kept: list[JudgeScore] = []
    found = judged(connection, judges, kept=kept)
    assert sorted(kept, key=str) == sorted(found.scores, key=str)
    assert len(found.scores) == 40
    assert {each.interaction_id for each in found.scores} == {each.interaction_id for each in records}
    with_sources = next(each for each in judges[0].shown if each["question"] == "question 1")
    assert with_sources["sources"] == DOCUMENTS["motor"]
    assert judges[0].asked[records[1].interaction_id] == 3, "groundedness where something was retrieved"
    assert judges[0].asked[records[2].interaction_id] == 2

    sample = draw(connection, DAY, SamplingSettings(budget=14), judges=found.scores)
    chosen = {task.stratum: task for task in sample.tasks}
    assert chosen[Stratum.JUDGE_NEAR].question == "question 1"
    assert chosen[Stratum.JUDGE_DISAGREEMENT].question == "question 2"
    assert chosen[Stratum.JUDGE_DISAGREEMENT].reason == "judges differ by 0.60"

    metrics = found.metrics(0.5)
    assert (metrics["AnswersJudged"], metrics["JudgeFailures"]) == (20, 0)
    assert metrics["JudgeDisagreement"] == pytest.approx(1 / 20)
    assert metrics["JudgeGroundedness"] == pytest.approx(0.9)


def test_a_budget_is_a_day_s_and_what_is_paid_for_is_not_paid_for_again(tmp_path: Path) -> None:
    connection = opened(tmp_path, [interaction(number) for number in range(50)])
    kept: list[JudgeScore] = []
    first = judged(connection, [Scripted("one", {}), Scripted("other", {})], budget=15, kept=kept)
    assert (first.made, first.metrics(0.5)["AnswersJudged"]) == (30, 15)
    again = [Scripted("one", {}), Scripted("other", {})]
    second = judged(connection, again, budget=15, kept=kept)
    assert (second.made, len(second.scores)) == (0, 30)
    assert not again[0].asked and not again[1].asked
    more = judged(connection, again, budget=16, kept=kept)
    assert more.made == 2
    assert {each.interaction_id for each in first.scores} < {each.interaction_id for each in more.scores}


def test_a_judge_that_is_away_ends_judging_and_the_next_run_goes_on(tmp_path: Path) -> None:
    connection = opened(tmp_path, [interaction(number) for number in range(40)])
    kept: list[JudgeScore] = []
    one, other = Scripted("one", {}), Scripted("other", {}, away_after=12)
    found = judged(connection, [one, other], kept=kept)
    assert found.away == "a judge did not answer (AccessDeniedException): the next run of this day goes on"
    assert found.metrics(0.5)["JudgeFailures"] == 1
    assert 0 < len(kept) < 80
    assert sum(one.asked.values()) == 2 * sum(each.judge == "one" for each in kept), "all that was paid for"
    rest = [Scripted("one", {}), Scripted("other", {})]
    assert len(judged(connection, rest, kept=kept).scores) == 80
    assert (
        not {each.interaction_id for each in kept[: found.made] if each.judge == "one"} & rest[0].asked.keys()
    )


def test_what_was_paid_for_is_kept_when_the_job_is_stopped(tmp_path: Path) -> None:
    connection = opened(tmp_path, [interaction(number) for number in range(40)])
    kept: list[JudgeScore] = []

    def keep(scores: Sequence[JudgeScore]) -> None:
        kept.extend(scores)
        if len(kept) == KEEP_EVERY:
            raise SystemExit(143)

    one = Scripted("one", {})
    with pytest.raises(SystemExit):
        judge(connection, DAY, [one], budget=40, known=[], keep=keep, sources=lambda _: None)
    assert sum(one.asked.values()) == 2 * len({each.interaction_id for each in kept})


def test_nonsense_is_counted_and_named_without_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connection = opened(tmp_path, [interaction(number) for number in range(5)])
    found = judged(connection, [Scripted("one", {3: -1})])
    assert (len(found.scores), found.failed) == (4, 1)
    assert "another form" in caplog.text
    assert "question" not in caplog.text


def test_the_form_of_a_grade_is_forced_and_checked() -> None:
    from langchain_core.messages import AIMessage

    asked: list[Any] = []

    class Model:
        def bind_tools(self, tools: list[dict[str, Any]], *, tool_choice: str) -> Model:
            asked.append((tools[0], tool_choice))
            return self

        def invoke(self, messages: list[Any]) -> AIMessage:
            asked.append(messages)
            call = {"name": "grade_safety", "args": {"rationale": "fine", "grade": 11}, "id": "1"}
            return AIMessage("", tool_calls=[call])

    model: Any = Model()
    with pytest.raises(
        JudgeError, match=r"case c: the judge m answered safety in another form.*grade: Input"
    ):
        Judge(model, model_id="m").grade("safety", {"question": "q", "answer": "a"}, case_id="c")
    tool, choice = asked[0]
    assert (tool["name"], choice) == ("grade_safety", "grade_safety")
    assert tool["input_schema"]["properties"]["grade"]["maximum"] == 10
    assert "0 if it is certainly no" in asked[1][0].content


def test_judges_are_compared_with_what_people_settled(make_task: Any) -> None:
    tasks = [make_task() for _ in range(6)]
    reviewed = [
        Reviewed(
            task,
            [
                Label(task_id=task.task_id, reviewer=each, verdict="good")
                if number % 2
                else Label(task_id=task.task_id, reviewer=each, verdict="bad", category="safety")
                for each in "ab"
            ],
        )
        for number, task in enumerate(tasks)
    ]
    scores = [
        JudgeScore(interaction_id=task.interaction_id, judge="j", score=0.9 if number % 2 else 0.2)
        for number, task in enumerate(tasks)
    ]
    found = judge_agreement(reviewed, scores, 0.5)
    assert (found.answers, found.agreed) == (6, 1)
    assert found.kappa is not None
    assert found.metrics()["JudgeKappa"] == 1
    nothing = judge_agreement(reviewed, [], 0.5)
    assert (nothing.metrics(), str(nothing)) == ({}, "no answer has both a judge's score and a settled label")
    same = judge_agreement(reviewed, [scores[0]], 0.5)
    assert same.metrics() == {"JudgeAgreed": 1.0}


def test_the_job_judges_through_bedrock_and_keeps_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from fmops.jobs import review as job
    from local.aws.server import LocalAws

    caplog.set_level(logging.INFO)
    with LocalAws(port=0, enforce=False, directory=tmp_path / "cloud", run_servers=False) as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="lake")
        monkeypatch.setattr(
            job.boto3, "client", lambda name="", *, service_name="", **_: cloud.client(name or service_name)
        )
        models = ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0")
        settings = job.ReviewSettings(
            environment="test",
            lake_bucket="lake",
            tracking_uri="x",
            judges=models,
            judged=3,
            AWS_REGION="us-east-1",
        )
        records = [
            interaction(number, input="Is theft covered?", output="Theft is covered up to 500.")
            for number in range(5)
        ]
        connection = opened(tmp_path / "lake", records)
        objects = job.Lake(s3, "lake")
        for _ in range(2):
            scores = job._judge(objects, settings, connection, date.fromisoformat(DAY))
            assert len(scores) == 6
        assert "2 judges gave 6 scores, 6 of them before" in caplog.text
        lines = objects.read_all(f"review/judges/{DAY}")
        assert {json.loads(line)["judge"] for line in lines} == set(models)
        assert not {"theft", "covered"} & set(" ".join(lines).lower().split())
        names = {each["MetricName"] for each in cloud.client("cloudwatch").list_metrics()["Metrics"]}
        assert {"JudgeScore", "JudgeRelevance", "JudgeSafety", "AnswersJudged", "JudgeFailures"} <= names
