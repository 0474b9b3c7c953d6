"""The request fits the service's model, the manifest its limits, and a job with the real functions
gives our labels."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from pydantic import ValidationError
from sagemaker.core.utils.utils import serialize

from fmops.interaction import GuardrailOutcome, RetrievedDocument
from fmops.review.backend import ReviewUnavailableError
from fmops.review.ground_truth import (
    ATTRIBUTE,
    LONGEST_ATTRIBUTE,
    LONGEST_LINE,
    TEMPLATE,
    GroundTruth,
    GroundTruthSettings,
    labels_of,
    manifest,
)
from fmops.review.labels import Reviewed, State
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import Label, ReviewTask
from fmops.review.outcome import case, quality
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.sagemaker.labeling import LabelingJobs

Make = Callable[..., ReviewTask]
ROOT = Path(__file__).parents[2]
DOCUMENTS = {"motor-collision": ("Collisions", "Collisions are covered.")}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory, run_servers=False) as running:
        running.client("s3").create_bucket(Bucket="lake")
        yield running


@pytest.fixture(scope="module")
def parts(cloud: Cloud) -> GroundTruthSettings:
    """Return the functions of lambdas/labeling, as the stack deploys them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        for path in (ROOT / "lambdas" / "labeling").glob("*.py"):
            code.write(path, path.name)
    role = cloud.client("iam").create_role(RoleName="labeling", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    arns = {
        name: cloud.client("lambda").create_function(
            FunctionName=f"labeling-{name}",
            Runtime="python3.14",
            Role=role,
            Handler=f"handler.{name}",
            Timeout=30,
            Code={"ZipFile": buffer.getvalue()},
        )["FunctionArn"]
        for name in ("pre", "post")
    }
    return GroundTruthSettings(
        workteam_arn="arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/reviewers",
        adjudicators_arn="arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/adjudicators",
        role_arn=role,
        pre_function_arn=arns["pre"],
        post_function_arn=arns["post"],
        name_prefix="fmops-test",
    )


def backend(cloud: Cloud, parts: GroundTruthSettings, **changes: Any) -> GroundTruth:
    session = boto3.Session(aws_access_key_id="AKIALOCALDEVELOPER00", aws_secret_access_key="local")
    return GroundTruth(
        cloud.client("s3"),
        "lake",
        parts.model_copy(update=changes),
        lambda each: DOCUMENTS.get(each.document_id),
        session=session,
        region="us-east-1",
    )


@pytest.fixture
def at_the_local_aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIALOCALDEVELOPER00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_the_request_obeys_the_services_model(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make
) -> None:
    arguments = backend(cloud, parts).request("fmops-test-2026-11-20", make_task(reviewers=3))
    given = {
        "".join(part.capitalize() for part in name.split("_")): serialize(value)
        for name, value in arguments.items()
    }
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateLabelingJob").input_shape
    report = ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
    assert not given["LabelAttributeName"].endswith("-metadata")
    assert given["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"] == 3
    for name, pattern in (("LabelingJobName", r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),):
        import re

        assert re.fullmatch(pattern, given[name])


def test_a_manifest_keeps_the_services_limits(make_task: Make) -> None:
    long = make_task(
        question='"' * 90_000,
        answer="ä\n" * 90_000,
        retrieved=[RetrievedDocument(document_id=f"d{number}", score=0.5) for number in range(20)],
        guardrails=[GuardrailOutcome(direction="output", action="flag", detector="d", reason="insult")],
    )
    documents = {f"d{number}": ("T", "x" * 9_000) for number in range(20)}
    lines = manifest([long, make_task()], lambda each: documents.get(each.document_id)).splitlines()
    assert len(lines) == 2
    for line in lines:
        given = json.loads(line)
        assert len(line) < LONGEST_LINE
        assert "source" in given and not any(name.startswith("$") for name in given)
        assert all(
            len(json.dumps(value, ensure_ascii=False)) <= LONGEST_ATTRIBUTE for value in given.values()
        )
    cut = json.loads(lines[0])
    assert cut["source"].endswith("[cut]") and cut["answer"].endswith("[cut]")
    assert cut["layers"][0] == "output flag: insult"


def test_the_template_shows_what_the_function_gives_and_asks_what_it_reads() -> None:
    template = TEMPLATE.read_text()
    for field in ("task.input.source", "task.input.answer", "task.input.retrieved", "task.input.layers"):
        assert field in template
    for name in ("verdict", "category", "corrected_answer", "comment"):
        assert f'name="{name}"' in template
    assert "crowd-html-elements.js" in template and "<crowd-form>" in template
    assert template.count("| escape }}") == template.count("{{"), "what people said is no HTML"


@pytest.mark.usefixtures("at_the_local_aws")
def test_a_job_through_the_real_functions_gives_the_labels_of_every_worker(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make
) -> None:
    tasks = [make_task(day="2026-11-20"), make_task(day="2026-11-20", question="Is hail covered?")]
    review = backend(cloud, parts)
    assert review.submit(tasks) == 2
    assert review.submit(tasks) == 0, "a day has one job"
    assert [each.state for each in review.reviewed()] == [State.OPEN, State.OPEN]
    described = cloud.client("sagemaker").describe_labeling_job(LabelingJobName="fmops-test-2026-11-20")
    assert (described["LabelingJobStatus"], described["LabelCounters"]["Unlabeled"]) == ("InProgress", 2)

    seen: list[dict[str, Any]] = []

    def content(given: Any) -> dict[str, Any]:
        seen.append(given)
        return {
            "verdict": {"good": True, "bad": False},
            "category": {},
            "corrected_answer": "",
            "comment": "",
        }

    def strict(given: Any) -> dict[str, Any]:
        if "hail" not in given["source"]:
            return content(given)
        return {
            "verdict": {"good": False, "bad": True},
            "category": {"correctness": True, "safety": False},
            "corrected_answer": "Hail is.",
            "comment": "no",
        }

    cloud.state(LabelingJobs).work("fmops-test-2026-11-20", {"worker-1": content, "worker-2": strict})
    assert seen[0]["retrieved"] == [{"title": "Collisions", "text": "Collisions are covered."}]
    first, second = review.reviewed()
    assert (first.task, first.state, first.verdict) == (tasks[0], State.SETTLED, "good")
    assert second.state is State.DISAGREED
    (bad,) = [label for label in second.labels if label.verdict == "bad"]
    assert (bad.reviewer, bad.category, bad.corrected_answer) == ("worker-2", "correctness", "Hail is.")
    described = cloud.client("sagemaker").describe_labeling_job(LabelingJobName="fmops-test-2026-11-20")
    assert described["LabelingJobStatus"] == "Completed"
    assert described["LabelingJobOutput"]["OutputDatasetS3Uri"].endswith("/manifests/output/output.manifest")


GOOD = {"verdict": {"good": True, "bad": False}, "category": {}, "corrected_answer": "", "comment": ""}
BAD = {
    "verdict": {"good": False, "bad": True},
    "category": {"correctness": True},
    "corrected_answer": "Hail is.",
    "comment": "no",
}


@pytest.mark.usefixtures("at_the_local_aws")
def test_what_workers_disagree_on_is_settled_by_an_adjudicator_as_on_the_page(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make, review: MlflowReview
) -> None:
    day = "2026-11-22"
    tasks = [make_task(day=day), make_task(day=day, question="Is hail covered?")]
    ground_truth, jobs = backend(cloud, parts, name_prefix="fmops-adj"), cloud.state(LabelingJobs)
    ground_truth.submit(tasks)
    assert ground_truth.adjudicate(ground_truth.reviewed()) == 0, "the workers are not done"
    jobs.work(
        f"fmops-adj-{day}",
        {"w1": lambda _: GOOD, "w2": lambda given: BAD if "hail" in given["source"] else GOOD},
    )
    assert ground_truth.adjudicate(ground_truth.reviewed()) == 1
    assert ground_truth.adjudicate(ground_truth.reviewed()) == 0, "a day has one such job"
    job = jobs.job(f"fmops-adj-{day}-adj")
    assert job.request["HumanTaskConfig"]["WorkteamArn"] == parts.adjudicators_arn
    seen: list[Any] = []
    jobs.work(f"fmops-adj-{day}-adj", {"w3": lambda given: seen.append(given) or BAD})
    assert seen[0]["votes"] == ["good", "bad · correctness · no · should be: Hail is."]

    review.submit(tasks)
    for task in tasks:
        for reviewer in ("w1", "w2"):
            bad = reviewer == "w2" and "hail" in task.question
            said: dict[str, Any] = (
                {"verdict": "bad", "category": "correctness", "corrected_answer": "Hail is.", "comment": "no"}
                if bad
                else {"verdict": "good"}
            )
            review.label(Label(task_id=task.task_id, reviewer=reviewer, **said))
    assert review.adjudicate(review.reviewed()) == 0
    settled: dict[str, Any] = {
        "verdict": "bad",
        "category": "correctness",
        "corrected_answer": "Hail is.",
        "comment": "no",
        "adjudicates": True,
    }
    review.label(Label(task_id=tasks[1].task_id, reviewer="w3", **settled))

    def outcome(of: list[Reviewed]) -> Any:
        made = {each.task.task_id: case(each, lambda _: None) for each in of}
        return {
            each.task.task_id: (
                each.state, each.verdict, each.category, each.corrected_answer,
                sorted(label.reviewer for label in each.votes),
                (found := made[each.task.task_id]) and found.model_dump(exclude={"reviewed_at"}),
            )
            for each in of
        }  # fmt: skip

    mine, theirs = ground_truth.reviewed(), review.reviewed()
    assert outcome(mine) == outcome(theirs)
    assert {each.state for each in mine} == {State.SETTLED}
    assert quality(mine).metrics() == quality(theirs).metrics()


@pytest.mark.usefixtures("at_the_local_aws")
def test_nobody_settles_what_they_disagree_on_themselves(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ground_truth, jobs = backend(cloud, parts, name_prefix="fmops-own"), cloud.state(LabelingJobs)
    ground_truth.submit([make_task(day="2026-11-23")])
    jobs.work("fmops-own-2026-11-23", {"w1": lambda _: GOOD, "w2": lambda _: BAD})
    ground_truth.adjudicate(ground_truth.reviewed())
    jobs.work("fmops-own-2026-11-23-adj", {"w2": lambda _: BAD})
    assert [each.state for each in ground_truth.reviewed()] == [State.DISAGREED]
    assert "stays disputed" in caplog.text


def test_the_job_reviews_where_its_environment_says(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    from fmops.jobs import review as job

    monkeypatch.setattr(job.boto3, "client", cloud.client)
    for name in ("ENVIRONMENT", "LAKE_BUCKET", "TRACKING_URI"):
        monkeypatch.setenv(f"FMOPS_{name}", "x")
    monkeypatch.setenv("FMOPS_LABELING_WORKTEAM_ARN", "arn:team")
    objects = job.Lake(cloud.client("s3"), "lake")
    assert isinstance(job._backend(objects, job.ReviewSettings()), MlflowReview)  # type: ignore[call-arg]
    monkeypatch.setenv("FMOPS_BACKEND", "ground_truth")
    chosen = job._backend(objects, job.ReviewSettings())  # type: ignore[call-arg]
    assert isinstance(chosen, GroundTruth)
    assert (
        chosen.request("fmops-1", ReviewTask.model_construct(reviewers=2))["human_task_config"].workteam_arn
        == "arn:team"
    )
    monkeypatch.setenv("FMOPS_BACKEND", "paper")
    with pytest.raises(ValidationError, match="ground_truth"):
        job.ReviewSettings()  # type: ignore[call-arg]


@pytest.mark.usefixtures("at_the_local_aws")
def test_a_job_that_another_run_started_is_the_days_job(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make
) -> None:
    task = make_task(day="2026-11-26")
    review = backend(cloud, parts)
    assert review.submit([task]) == 1
    # The run that started it ended before it could write that it had.
    cloud.client("s3").delete_object(
        Bucket="lake", Key="review/ground-truth/fmops-test-2026-11-26/tasks.jsonl"
    )
    assert backend(cloud, parts).submit([task]) == 1
    assert [each.task for each in review.reviewed() if each.task.day == task.day] == [task]


@pytest.mark.usefixtures("at_the_local_aws")
def test_a_service_that_refuses_the_job_is_an_error_with_the_remedy_and_the_day_is_tried_again(
    cloud: Cloud, parts: GroundTruthSettings, make_task: Make
) -> None:
    task = make_task(day="2026-11-21")
    with pytest.raises(ReviewUnavailableError, match=r"set review\.backend to mlflow"):
        backend(cloud, parts, workteam_arn="not an arn").submit([task])
    assert backend(cloud, parts).submit([task]) == 1


def test_what_is_not_ours_in_an_output_manifest_is_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metadata = {f"{ATTRIBUTE}-metadata": {"creation-date": "2026-11-20T00:00:00"}}
    good = {"reviewer": "w", "verdict": "good", "category": "safety"}
    lines = [
        json.dumps(
            {"task-id": "t", ATTRIBUTE: {"labels": [good, {"reviewer": "w2", "verdict": ""}]}, **metadata}
        ),
        json.dumps({"source": "unlabelled", "task-id": "t2"}),
        "garbage",
    ]
    (label,) = labels_of("\n".join(lines))["t"]
    assert (label.verdict, label.category) == ("good", None)
    assert "3 lines or labels" in caplog.text
