"""The evaluation job gets what `fmops.jobs.evaluate` reads, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fmops.evaluation.journal import Journal
from fmops.evaluation.setup import EvaluationSettings
from fmops.jobs import evaluate
from local.aws.server import LocalAws
from tests.synthesized import Assembly


def test_the_state_machine_gives_the_job_its_environment(assembly: Assembly) -> None:
    machines = assembly.resources("AWS::StepFunctions::StateMachine")
    (machine,) = [
        value for name, value in machines.items() if name.startswith("Review/EvaluationJobStateMachine")
    ]
    text = json.dumps(machine["Properties"]["DefinitionString"])
    settings: dict[str, Any] = {**evaluate.EvaluateSettings.model_fields, **EvaluationSettings.model_fields}
    for name, field in settings.items():
        variable = field.validation_alias or f"FMOPS_{name.upper()}"
        if field.is_required():
            assert str(variable) in text, f"{variable} is read, and nobody gives it"
    assert "fmops.jobs.evaluate" in text
    assert "/evaluation/journal" in text


def test_what_was_paid_for_is_kept_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalAws(port=0, enforce=False, directory=tmp_path, run_servers=False) as cloud:
        cloud.client("s3").create_bucket(Bucket="lake")
        for name, value in {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIALOCALDEVELOPER00",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        first = Journal.at("s3://lake/evaluation/journal")
        assert first.find("verdicts", "k") is None
        first.keep("verdicts", "k", {"verdict": "yes"})
        cloud.client("s3").put_object(
            Bucket="lake", Key="evaluation/journal/verdicts/cut.json", Body=b'{"verd'
        )
        again = Journal.at("s3://lake/evaluation/journal")
        assert again.find("verdicts", "k") == {"verdict": "yes"}
        assert again.find("verdicts", "cut") is None, "what was cut off is paid for again"
        assert (again.saved["verdicts"], first.paid["verdicts"]) == (1, 1)


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 0), (2, 2)])
def test_a_refusal_is_an_outcome_and_an_error_fails_the_job(
    code: int, ended: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def command(arguments: list[str], deployment: Any) -> int:
        given.extend(
            [arguments, deployment.output("Capture", "LakeBucketName"), os.environ["FMOPS_GUARDRAILS"]]
        )
        return code

    with LocalAws(port=0, enforce=False, directory=tmp_path, run_servers=False) as cloud:
        cloud.client("ssm").put_parameter(Name="guardrails", Type="String", Value="{}")
        monkeypatch.setattr(evaluate.boto3, "client", cloud.client)
        monkeypatch.setattr(evaluate, "command", command)
        for name, value in {
            "FMOPS_ENVIRONMENT": "e",
            "FMOPS_LAKE_BUCKET": "lake",
            "FMOPS_GUARDRAILS_PARAMETER": "guardrails",
            "FMOPS_GUARDRAILS": "",
            "MLFLOW_TRACKING_URI": "arn",
        }.items():
            monkeypatch.setenv(name, value)
        assert evaluate.main(["evaluate", "--candidate", "latest"]) == ended
    assert given == [["evaluate", "--candidate", "latest"], "lake", "{}"]
