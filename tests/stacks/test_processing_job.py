"""A batch job as the stacks use it: its roles' permissions, its alarms, and that no run is part of a
deployment.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from constructs.data_lifetime import DataLifetime
from constructs.processing_job import ProcessingJob

import app
from tests.stacks.service_authorization import resources
from tests.stacks.test_synthesis import READ_OF_ALL

ROOT = Path(__file__).parents[2]


def build(outdir: Path, *, account: str | None = None, **changes: Any) -> tuple[App, Stack]:
    cdk_app = App(outdir=str(outdir))
    environment = Environment(account=account, region="eu-west-1") if account else None
    stack = Stack(cdk_app, "Jobs", env=environment)
    arguments: dict[str, Any] = {
        "name": "fmops-test-analyse",
        "image": ROOT,
        "dockerfile": "images/jobs.Dockerfile",
        "module": "fmops.jobs.analyse",
        "environment": {"FMOPS_STAGE": "test"},
        "instance_type": "ml.m5.large",
        "volume_gib": 30,
        "max_runtime": Duration.hours(4),
        "key": kms.Key(stack, "Key", enable_key_rotation=True),
        "lifetime": DataLifetime.TEMPORARY,
        "log_retention": logs.RetentionDays.ONE_WEEK,
        "schedule": "rate(1 day)",
        "alarm_topic": sns.Topic(stack, "Topic", enforce_ssl=True),
    }
    ProcessingJob(stack, "Job", **{**arguments, **changes})
    return cdk_app, stack


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.from_stack(build(tmp_path_factory.mktemp("job"))[1])


@pytest.mark.parametrize("account", [None, "111122223333"])
def test_has_no_finding_that_nobody_acknowledged(tmp_path: Path, account: str | None) -> None:
    cdk_app, _ = build(tmp_path, account=account)
    app.check(cdk_app)
    cdk_app.synth()


def test_no_run_is_part_of_a_deployment(template: Template) -> None:
    template.resource_count_is("AWS::SageMaker::ProcessingJob", 0)


def test_only_actions_without_resources_are_allowed_on_everything(template: Template) -> None:
    statements = [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    everywhere = {
        action
        for statement in statements
        if statement["Resource"] == "*"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert {each for each in everywhere - READ_OF_ALL if resources(each) != ("*",)} == set()


def test_the_state_machine_hands_over_the_jobs_role_to_sagemaker_only(template: Template) -> None:
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Action": "iam:PassRole",
                                "Condition": {
                                    "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
                                },
                            }
                        )
                    ]
                )
            }
        },
    )


def test_a_failed_and_an_overdue_run_ring(template: Template) -> None:
    alarms = template.find_resources("AWS::CloudWatch::Alarm")
    missing = {
        name: alarm["Properties"]["TreatMissingData"]
        for name, alarm in alarms.items()
        if alarm["Properties"]["AlarmActions"]
    }
    assert sorted(missing.values()) == ["breaching", "notBreaching"]


def test_without_a_schedule_nothing_starts_the_job_and_nothing_is_overdue(tmp_path: Path) -> None:
    template = Template.from_stack(build(tmp_path, schedule=None)[1])
    template.resource_count_is("AWS::Scheduler::Schedule", 0)
    template.resource_count_is("AWS::CloudWatch::Alarm", 1)


def test_execution_data_is_not_logged(template: Template) -> None:
    (machine,) = template.find_resources("AWS::StepFunctions::StateMachine").values()
    assert machine["Properties"]["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert "fmops.jobs.analyse" in json.dumps(machine["Properties"]["DefinitionString"])
