"""A job's state machine, deployed from the construct's template: real processes, honest statuses,
schedules that fire."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import stacks.nodejs  # noqa: F401 - before aws_cdk: it finds Node for it

# isort: split
from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs.data_lifetime import DataLifetime
from constructs.processing_job import LOG_GROUP, ProcessingJob

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.scheduler import fire
from local.run.deploy import deploy

pytestmark = pytest.mark.rehearsal
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60


@dataclass
class Deployed:
    cloud: Cloud
    machine: str

    def run(self, **given: Any) -> dict[str, Any]:
        """Return an execution once it has ended."""
        started = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, input=json.dumps(given)
        )
        return self.ended(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        return until(
            lambda: self.cloud.client("stepfunctions").describe_execution(executionArn=execution),
            lambda answer: answer["status"] != "RUNNING",
        )

    def log(self, job: str) -> list[str]:
        client = self.cloud.client("logs")
        (stream,) = client.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/")[
            "logStreams"
        ]
        events = client.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"])[
            "events"
        ]
        return [event["message"] for event in events]


def until(ask: Any, is_there: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_there(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("processing")
    app = App(outdir=str(directory / "cdk.out"), builtin_cloud_formation_validation=False)
    stack = Stack(app, "Jobs", stack_name="test-Jobs", synthesizer=DefaultStackSynthesizer())
    job = ProcessingJob(
        stack,
        "Probe",
        name="probe",
        image=ROOT,
        dockerfile="images/jobs.Dockerfile",
        module="tests.local.probe",
        environment={"FMOPS_STAGE": "test"},
        instance_type="ml.m5.large",
        volume_gib=5,
        max_runtime=Duration.hours(1),
        key=kms.Key(stack, "Key"),
        lifetime=DataLifetime.TEMPORARY,
        log_retention=logs.RetentionDays.ONE_DAY,
        schedule="rate(1 day)",
        scheduled_input={"arguments": ["--scheduled", "<aws.scheduler.scheduled-time>"]},
    )
    CfnOutput(stack, "Machine", value=job.state_machine.state_machine_arn)
    app.synth()
    with LocalAws(port=0, enforce=False, directory=directory) as cloud:
        outputs = deploy(cloud, directory / "cdk.out").outputs["Jobs"]
        yield Deployed(cloud, outputs["Machine"])


def test_a_run_is_the_modules_process_under_the_jobs_role(deployed: Deployed) -> None:
    execution = deployed.run(arguments=["--from", "2026-11-01"])
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["ProcessingJobStatus"] == "Completed"
    log = deployed.log(output["ProcessingJobName"])
    assert log[0] == 'arguments ["--from", "2026-11-01"]'
    assert "assumed-role" in log[1] and "ProbeRole" in log[1]
    assert json.loads(log[2].removeprefix("names ")) == [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "FMOPS_STAGE",
    ]


def test_a_run_needs_no_arguments(deployed: Deployed) -> None:
    output = json.loads(deployed.run()["output"])
    assert deployed.log(output["ProcessingJobName"])[0] == "arguments []"


def test_a_run_that_fails_is_a_failed_execution_that_names_the_log(deployed: Deployed) -> None:
    execution = deployed.run(arguments=["--fail"])
    assert (execution["status"], execution["error"]) == ("FAILED", "ProcessingJobFailed")
    assert "is Failed: AlgorithmError: , exit code: 3. Its log is in" in execution["cause"]
    job = execution["cause"].split()[2]
    assert deployed.log(job) == ['arguments ["--fail"]']
    described = deployed.cloud.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "Failed"


def test_a_run_that_is_stopped_is_a_failed_execution(deployed: Deployed) -> None:
    sagemaker = deployed.cloud.client("sagemaker")
    started = deployed.cloud.client("stepfunctions").start_execution(
        stateMachineArn=deployed.machine, input=json.dumps({"arguments": ["--wait"]})
    )
    (job,) = until(
        lambda: sagemaker.list_processing_jobs(StatusEquals="InProgress")["ProcessingJobSummaries"], bool
    )
    sagemaker.stop_processing_job(ProcessingJobName=job["ProcessingJobName"])
    execution = deployed.ended(started["executionArn"])
    assert execution["status"] == "FAILED"
    assert "is Stopped: no reason given" in execution["cause"]


def test_tasks_call_under_the_state_machines_role(deployed: Deployed) -> None:
    deployed.run()
    callers = {who for who, _, operation in deployed.cloud.calls if operation == "CreateProcessingJob"}
    assert len(callers) == 1
    assert "StateMachineRole" in callers.pop()


def test_the_schedule_starts_the_job_for_the_time_that_it_was_due(deployed: Deployed) -> None:
    (schedule,) = deployed.cloud.client("scheduler").list_schedules()["Schedules"]
    execution = deployed.ended(fire(deployed.cloud, schedule["Name"]))
    job = json.loads(execution["output"])["ProcessingJobName"]
    assert deployed.log(job)[0].startswith('arguments ["--scheduled", "20')
    with pytest.raises(LookupError, match="no schedule other"):
        fire(deployed.cloud, "other")


def test_what_is_not_here_is_said(deployed: Deployed) -> None:
    sagemaker = deployed.cloud.client("sagemaker")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="Could not find"):
        sagemaker.describe_processing_job(ProcessingJobName="nobody")
    request = {
        "ProcessingJobName": "two",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "AppSpecification": {"ImageUri": "x", "ContainerEntrypoint": ["python"]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
        },
    }
    with pytest.raises(sagemaker.exceptions.ClientError, match=r"does not implement.*more than one instance"):
        sagemaker.create_processing_job(**request)
