"""The job from the lake to MLflow and back, on the local AWS's S3, SSM and CloudWatch."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmops.evaluation.cases import ReviewedCase, parse
from fmops.interaction import Feedback, Interaction
from fmops.jobs import review as job
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import Label
from fmops.turn import turn
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws

DAY = datetime.now(UTC).date() - timedelta(days=5)
NEXT = DAY + timedelta(days=1)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory, run_servers=False) as running:
        yield running


@pytest.fixture
def bucket(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    name = f"lake-{abs(hash(request.node.name))}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def run(cloud: Cloud, bucket: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    cloud.client("ssm").put_parameter(
        Name="guardrails",
        Type="String",
        Overwrite=True,
        Value=json.dumps({"rules": [{"categories": ["insult"], "action": "block", "threshold": 0.9}]}),
    )
    environment = {
        "ENVIRONMENT": "test",
        "LAKE_BUCKET": bucket,
        "GUARDRAILS_PARAMETER": "guardrails",
        "SAMPLING": '{"budget": 14}',
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"FMOPS_{name}", value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(job.boto3, "client", cloud.client)
    return lambda *arguments: job.main(list(arguments))


def interaction(number: int) -> Interaction:
    return Interaction(
        interaction_id=f"int-{number:032x}",
        user="u1",
        started_at=f"{DAY}T09:00:00Z",
        input=f"question {number}",
        output=f"answer {number}",
        finish_reason="stop",
    )


def put(cloud: Cloud, bucket: str, key: str, *lines: bytes) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=gzip.compress(b"".join(lines)))


def read(cloud: Cloud, bucket: str, key: str) -> str:
    return str(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def test_tasks_go_to_people_and_labels_become_cases_and_metrics(
    cloud: Cloud, bucket: str, uri: str, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    records = [interaction(number) for number in range(30)]
    rated = Feedback(interaction_id=records[0].interaction_id, user="u1", rating="down")
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", *(each.line() for each in records))
    put(cloud, bucket, f"interactions/dt={NEXT}/hour=00/late", rated.line(), b"garbage\n")
    cloud.client("s3").put_object(Bucket=bucket, Key=f"interactions/dt={DAY}/hour=09/cut", Body=b"cut")
    signal = json.dumps({"interaction_id": records[1].interaction_id, "kind": "new_topic", "detail": "hail"})
    cloud.client("s3").put_object(
        Bucket=bucket, Key=f"analysis/content/review/{DAY}.jsonl", Body=f"{signal}\nforeign\n"
    )
    assert run("--day", str(DAY)) == 0
    assert "2 objects, 1 corrupt, 0 deleted meanwhile, 1 foreign lines, 0 newer records" in caplog.text
    assert "1 lines of the analysis are not understood" in caplog.text
    tasks = [
        json.loads(line) for line in read(cloud, bucket, f"review/tasks/dt={DAY}/tasks.jsonl").splitlines()
    ]
    assert len(tasks) == 14
    assert {task["stratum"]: task["population"] for task in tasks} == {
        "low_feedback": 1,
        "drift": 1,
        "random": 28,
    }

    queue = MlflowReview(uri)
    for each in queue.reviewed():
        for reviewer in ("r1", "r2"):
            bad = each.task.question == "question 0"
            said = (
                {"verdict": "bad", "category": "correctness", "corrected_answer": "right"}
                if bad
                else {"verdict": "good"}
            )
            queue.label(Label.model_validate({"task_id": each.task.task_id, "reviewer": reviewer, **said}))
    caplog.clear()
    assert run("--day", str(DAY)) == 0
    assert "14 tasks were chosen before" in caplog.text
    assert "0 of 14 tasks submitted" in caplog.text
    assert "14 settled; agreement (Krippendorff's alpha) 1.00; 14 cases added" in caplog.text
    assert "bad answers: 3.3 % (95 % interval 3.3 to" in caplog.text

    cases = parse(read(cloud, bucket, job.REVIEWED_KEY), ReviewedCase, name="reviewed")
    assert {each.case_id for each in cases} == {task["interaction_id"] for task in tasks}
    wrong = next(each for each in cases if each.question == "question 0")
    assert (wrong.corrected_answer, wrong.label("correctness")) == ("right", False)
    labels = read(cloud, bucket, f"review/labels/dt={DAY}/labels.jsonl").splitlines()
    assert len(labels) == 28
    metrics = cloud.client("cloudwatch").list_metrics(Namespace="FMOps/Review")["Metrics"]
    assert {"BadAnswerRate", "BadAnswerRateLow", "BadAnswerRateHigh", "Agreement", "TasksOpen"} <= {
        each["MetricName"] for each in metrics
    }
    caplog.clear()
    assert run("--collect") == 0
    assert "0 cases added" in caplog.text


def test_a_day_without_records_is_no_error(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert run("--day", "2026-11-01") == 0
    assert "0 of 0 tasks submitted" in caplog.text
    assert "no estimate: no labels yet in any stratum" in caplog.text


def test_mlflow_away_fails_the_run_and_the_next_one_submits_what_was_chosen(
    cloud: Cloud,
    bucket: str,
    uri: str,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", interaction(1).line())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:9")
    assert run("--day", str(DAY)) == 2
    assert "MLflow did not answer" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert run("--day", str(DAY)) == 0
    assert "1 tasks were chosen before" in caplog.text
    assert "1 of 1 tasks submitted" in caplog.text


def test_a_second_run_at_once_does_nothing_and_says_who_is_at_work(
    cloud: Cloud, bucket: str, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", interaction(7).line())
    with turn(cloud.client("s3"), bucket, job.TURN):
        assert run("--day", str(DAY)) == 2
    assert "another run of this job is at work" in caplog.text
    keys = [each["Key"] for each in cloud.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert not any(key.startswith(job.TASKS) for key in keys)
    assert run("--day", str(DAY)) == 0


def test_tasks_that_another_run_chose_meanwhile_are_not_replaced(
    cloud: Cloud, bucket: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", interaction(8).line())
    key = f"{job.TASKS}/dt={DAY}/tasks.jsonl"
    draw = job._draw

    def slow(*given: Any) -> Any:
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"theirs")
        return draw(*given)

    monkeypatch.setattr(job, "_draw", slow)
    assert run("--day", str(DAY)) == 2
    assert read(cloud, bucket, key) == "theirs"


def test_what_was_deleted_while_it_was_read_is_named(
    cloud: Cloud, bucket: str, run: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", interaction(1).line())
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/b", interaction(2).line())
    cloud.client("s3").put_object(Bucket=bucket, Key=f"analysis/content/review/{DAY}.jsonl", Body=b"{}")
    client = cloud.client("s3", config=job.PATIENT)
    paginator = client.get_paginator("list_objects_v2")

    class Listing:
        """A listing after which two objects disappear."""

        def paginate(self, **arguments: Any) -> Any:
            pages = list(paginator.paginate(**arguments))
            listed = {item["Key"] for page in pages for item in page.get("Contents", [])}
            for gone in listed & {f"interactions/dt={DAY}/hour=09/b", f"analysis/content/review/{DAY}.jsonl"}:
                client.delete_object(Bucket=bucket, Key=gone)
            return pages

    monkeypatch.setattr(client, "get_paginator", lambda _: Listing())
    assert run("--day", str(DAY)) == 0
    assert "1 objects, 0 corrupt, 1 deleted meanwhile" in caplog.text
    assert "hour=09/b is skipped: it was deleted meanwhile" in caplog.text


def test_a_day_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        job.main(["--day", "yesterday"])
    assert "'yesterday' is not a day, such as 2026-11-24" in capsys.readouterr().err


def test_what_was_corrected_is_asked_in_evaluations(cloud: Cloud, bucket: str) -> None:
    from fmops.evaluation.cases import Label as CaseLabel
    from fmops.evaluation.cases import dump
    from fmops.evaluation.datasets import corrected

    s3 = cloud.client("s3")
    assert corrected(s3, bucket) == []
    said = CaseLabel(criterion="correctness", value=False, reviewer="r")
    rows = [
        ReviewedCase(case_id="int-1", question="Q?", answer="no", corrected_answer="yes", labels=[said]),
        ReviewedCase(case_id="int-2", question="Q?", answer="no", labels=[said]),
    ]
    s3.put_object(Bucket=bucket, Key=job.REVIEWED_KEY, Body=dump(rows).encode())
    (found,) = corrected(s3, bucket)
    assert (found.case_id, found.expected.answer, found.source) == ("int-1", "yes", "reviewed")


def test_a_question_with_line_separators_of_unicode_goes_round(
    cloud: Cloud, bucket: str, uri: str, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from fmops.evaluation.datasets import corrected

    caplog.set_level(logging.INFO)
    question = "first\u2028second\u2029third\x85fourth\x0b\x1c"
    asked = interaction(1).model_copy(update={"input": question})
    put(cloud, bucket, f"interactions/dt={DAY}/hour=09/a", asked.line())
    assert run("--day", str(DAY)) == 0
    queue = MlflowReview(uri)
    (task,) = queue.reviewed()
    said = {"verdict": "bad", "category": "correctness", "corrected_answer": "one\u2028two"}
    for reviewer in ("r1", "r2"):
        queue.label(Label.model_validate({"task_id": task.task.task_id, "reviewer": reviewer, **said}))
    for _ in range(2):
        assert run("--day", str(DAY)) == 0
    assert "1 tasks were chosen before" in caplog.text
    (case,) = corrected(cloud.client("s3"), bucket)
    assert (case.question, case.expected.answer) == (question, "one\u2028two")
