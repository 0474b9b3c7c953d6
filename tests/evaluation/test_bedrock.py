"""Bedrock's evaluation job: the request and dataset keep the service's rules, and the twin's scores come
from the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from fmops.evaluation import bedrock
from fmops.evaluation.cases import Case, EvaluationError
from fmops.evaluation.datasets import golden
from fmops.evaluation.evaluate import Evaluation
from fmops.evaluation.scoring import Sheet
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from tests.evaluation.made import VARIANT

MODEL = botocore.session.get_session().get_service_model("bedrock")
SHAPE = MODEL.operation_model("CreateEvaluationJob").input_shape
ROLE = "arn:aws:iam::123456789012:role/evaluation"
JUDGE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CASES = [case for case in golden() if case.expected.answer]


def evaluation(cases: list[Case], answer: str = "") -> Evaluation:
    sheet = Sheet(answers={case.case_id: answer or case.expected.answer for case in cases})
    return Evaluation(VARIANT, cases, sheet, "run", 1.0, complete=True)


def request(made: bedrock.Dataset, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "FMOps: p 1, first try",
        "dataset_uri": "s3://lake-bucket/evaluation/bedrock/datasets/a.jsonl",
        "output_uri": "s3://lake-bucket/evaluation/bedrock/results/",
        "role_arn": ROLE,
        "judge": JUDGE,
    }
    return bedrock.request(made, **given | changes)


def broken_limits(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """Return the parts of a value that do not fit its shape's pattern and bounds; botocore checks only the
    bounds.
    """
    limits = shape.metadata
    if shape.type_name == "structure":
        for name, part in value.items():
            yield from broken_limits(part, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path}: {len(value)} items"
        for part in value:
            yield from broken_limits(part, shape.member, f"{path}[]")
    elif shape.type_name == "string":
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path}: {len(value)} characters"
        if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
            yield f"{path}: {value!r} is not {limits['pattern']}"


def test_the_request_fits_the_service_model() -> None:
    made = request(bedrock.dataset(evaluation(CASES)))
    assert not ParamValidator().validate(made, SHAPE).has_errors()
    assert list(broken_limits(made, SHAPE)) == []
    assert list(broken_limits({**made, "jobName": "Not Good"}, SHAPE)), "the check itself finds a bad name"


def test_a_dataset_has_one_response_per_row_all_of_the_source_that_the_request_names() -> None:
    made = bedrock.dataset(evaluation(CASES))
    rows = [json.loads(line) for line in made.lines]
    assert len(rows) == len(CASES)
    assert {len(row["modelResponses"]) for row in rows} == {1}
    sources = {row["modelResponses"][0]["modelIdentifier"] for row in rows}
    asked = request(made)["inferenceConfig"]["models"][0]["precomputedInferenceSource"]
    assert sources == {asked["inferenceSourceIdentifier"]} == {"p-1"}
    assert all(row.keys() <= {"prompt", "referenceResponse", "category", "modelResponses"} for row in rows)


def test_what_the_service_would_refuse_is_refused_first() -> None:
    many = [CASES[0].model_copy(update={"case_id": f"c{n}"}) for n in range(1001)]
    with pytest.raises(EvaluationError, match="1001 rows are more than the 1000 of one job"):
        bedrock.dataset(evaluation(many))
    with pytest.raises(EvaluationError, match="nothing to judge"):
        bedrock.dataset(evaluation([]))
    with pytest.raises(EvaluationError, match=r"Builtin.Accuracy: not a metric of a judge"):
        request(bedrock.dataset(evaluation(CASES)), metrics=["Builtin.Accuracy"])
    assert bedrock.job_name("x" * 80 + "--!") == "x" * 63


def test_a_line_that_is_no_result_is_named() -> None:
    with pytest.raises(EvaluationError, match="line 2 of the job's output is not a result"):
        bedrock.scores(['{"automatedEvaluationResult": {"scores": []}}\n{}'])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, directory=directory) as running:
        iam = running.client("iam")
        for name, service in (("evaluation", "bedrock.amazonaws.com"), ("stranger", "ecs.amazonaws.com")):
            trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        use = {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": "arn:aws:s3:::lake-bucket/evaluation/bedrock/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [use]})
        iam.put_role_policy(RoleName="evaluation", PolicyName="P", PolicyDocument=policy)
        running.client("s3").create_bucket(Bucket="lake-bucket")
        yield running


def ended(cloud: Cloud, made: bedrock.Dataset, name: str, **changes: Any) -> dict[str, Any]:
    cloud.client("s3").put_object(
        Bucket="lake-bucket", Key="evaluation/bedrock/datasets/a.jsonl", Body=made.text.encode()
    )
    account = cloud.client("sts").get_caller_identity()["Account"]
    role = f"arn:aws:iam::{account}:role/evaluation"
    client = cloud.client("bedrock")
    arn = client.create_evaluation_job(**request(made, name=name, role_arn=role) | changes)["jobArn"]
    while (job := client.get_evaluation_job(jobIdentifier=arn))["status"] == "InProgress":
        pass
    return dict(job)


def results(cloud: Cloud, name: str) -> dict[str, list[float]]:
    s3 = cloud.client("s3")
    prefix = f"evaluation/bedrock/results/{name}/"
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="lake-bucket", Prefix=prefix)["Contents"]]
    assert all(bedrock.OUTPUT.search(key) for key in keys)
    return bedrock.scores(
        [s3.get_object(Bucket="lake-bucket", Key=key)["Body"].read().decode() for key in keys]
    )


def test_the_twins_scores_are_computed_from_the_rows(cloud: Cloud) -> None:
    right, wrong = bedrock.dataset(evaluation(CASES)), bedrock.dataset(evaluation(CASES, "I cannot say."))
    assert ended(cloud, right, "right")["status"] == "Completed"
    assert ended(cloud, wrong, "wrong")["status"] == "Completed"
    means = [bedrock.metric_names(results(cloud, name)) for name in ("right", "wrong")]
    assert [each["bedrock_Completeness_mean"] for each in means] == [pytest.approx(1, abs=0.1), 0.0]
    assert means[1]["bedrock_Correctness_mean"] == 0.0
    assert {len(values) for values in results(cloud, "right").values()} == {len(CASES)}


def test_a_dataset_that_breaks_a_rule_fails_the_job_with_the_reason(cloud: Cloud) -> None:
    made = bedrock.dataset(evaluation(CASES))
    other = bedrock.Dataset("another", made.lines)
    job = ended(cloud, other, "mixed")
    assert job["status"] == "Failed"
    assert "modelIdentifier is not the job's inferenceSourceIdentifier" in job["failureMessages"][0]


def test_a_role_that_bedrock_may_not_take_fails_the_job(cloud: Cloud) -> None:
    role = f"arn:aws:iam::{cloud.account}:role/stranger"
    job = ended(cloud, bedrock.dataset(evaluation(CASES)), "stranger", roleArn=role)
    assert job["status"] == "Failed"
    assert "not trusted" in job["failureMessages"][0]


def test_a_state_machines_names_reach_the_service_and_come_back() -> None:
    from local.aws.services.stepfunctions import _recased

    made = request(bedrock.dataset(evaluation(CASES)))
    written = _recased(made, SHAPE, to_service=False)
    judged = written["EvaluationConfig"]["Automated"]["DatasetMetricConfigs"][0]
    assert judged["Dataset"]["DatasetLocation"]["S3Uri"].startswith("s3://")
    assert _recased(written, SHAPE, to_service=True) == made
