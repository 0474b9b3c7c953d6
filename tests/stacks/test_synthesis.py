"""Rules for the templates of every profile."""

import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3

from stacks.synthesis import check
from tests.stacks.service_authorization import resources
from tests.synthesized import Assembly

STACKS = {
    "Analysis",
    "Assistant",
    "Capture",
    "Foundation",
    "Identity",
    "Knowledge",
    "Observability",
    "Review",
    "Tracking",
}

RETAINED = ("prod", "enclosed")

# Resources with data that someone would miss.
STATEFUL = {
    "AWS::APS::Workspace",
    "AWS::Cognito::UserPool",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::S3::Bucket",
    "AWS::SageMaker::MlflowApp",
    "AWS::SecretsManager::Secret",
    "AWS::VerifiedPermissions::PolicyStore",
}
VECTORS = {"AWS::S3Vectors::Index", "AWS::S3Vectors::VectorBucket"}
"""Resources with data in a knowledge base, which not every profile has."""

READ_OF_ALL = {
    "cloudwatch:DescribeAlarmHistory",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetInsightRuleReport",
    "logs:DescribeLogGroups",  # by state machines, about their own log group; without a name it is upon all
    "oam:ListAttachedLinks",
}
"""Actions that have resources but are granted upon all: reads of everything that exists, as in AWS's own
policies.
"""


def test_has_the_stacks(assembly: Assembly) -> None:
    everything = STACKS - {"Knowledge"} | {"TransactionSearch", "GitHub"}
    assert assembly.templates.keys() == (everything if assembly.profile == "everything" else STACKS)


def test_has_no_finding_that_nobody_acknowledged(assembly: Assembly) -> None:
    findings = [
        f"{violation['ruleName']} at {construct['constructPath']}"
        for report in assembly.report
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
    assert findings == []


def test_nag_would_have_failed_on_a_finding(tmp_path: Path) -> None:
    careless = App(outdir=str(tmp_path))
    s3.Bucket(Stack(careless, "Careless"), "Bucket")
    check(careless)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        careless.synth()
    assert "AwsSolutions-S1" in (tmp_path / "validation-report.json").read_text()


def test_cdk_has_validated_the_templates(on_ecs: Assembly) -> None:
    """Read CDK's report of its findings and our acknowledgements; on Lambda there are none."""
    (validation,) = [report for report in on_ecs.report if report["pluginName"] == "CloudFormation Validate"]
    assert {violation["ruleName"] for violation in validation["suppressedViolations"]} == {"E1029"}


def test_every_log_group_has_retention(assembly: Assembly) -> None:
    groups = assembly.resources("AWS::Logs::LogGroup")
    assert len(groups) >= 6
    assert [name for name, group in groups.items() if "RetentionInDays" not in group["Properties"]] == []


def test_every_function_writes_to_a_log_group_of_ours(assembly: Assembly) -> None:
    functions = assembly.resources("AWS::Lambda::Function")
    without = [
        name
        for name, value in functions.items()
        if "LogGroup" not in value["Properties"].get("LoggingConfig", {})
    ]
    assert functions
    assert without == []


def test_data_lifetime_drives_every_stateful_resource(assembly: Assembly) -> None:
    expected = "RetainExceptOnCreate" if assembly.profile in RETAINED else "Delete"
    types = STATEFUL if assembly.profile == "everything" else STATEFUL | VECTORS
    stateful = assembly.resources(*types)
    assert {resource["Type"] for resource in stateful.values()} == types
    assert {name: resource.get("DeletionPolicy") for name, resource in stateful.items()} == dict.fromkeys(
        stateful, expected
    )


def test_buckets_are_emptied_only_with_temporary_data(assembly: Assembly) -> None:
    emptied = assembly.resources("Custom::S3AutoDeleteObjects")
    assert len(emptied) == (0 if assembly.profile in RETAINED else 2 + ("Knowledge" in assembly.templates))


def test_services_that_can_protect_data_do(assembly: Assembly) -> None:
    protected = assembly.profile in RETAINED
    (pool,) = assembly.resources("AWS::Cognito::UserPool").values()
    (store,) = assembly.resources("AWS::VerifiedPermissions::PolicyStore").values()
    tables = assembly.resources("AWS::DynamoDB::Table").values()
    mode = "ACTIVE" if protected else "INACTIVE"
    assert pool["Properties"].get("DeletionProtection", "INACTIVE") == mode
    assert store["Properties"]["DeletionProtection"]["Mode"] == ("ENABLED" if protected else "DISABLED")
    assert {table["Properties"]["DeletionProtectionEnabled"] for table in tables} == {protected}


def test_only_actions_without_resources_are_allowed_on_everything(assembly: Assembly) -> None:
    policies = assembly.resources("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
    actions = {
        action
        for policy in policies.values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "*" in _list(statement["Resource"])
        for action in _list(statement["Action"])
    }
    assert {each for each in actions - READ_OF_ALL if resources(each) != ("*",)} == set()
    assert "xray:PutTraceSegments" in actions


def test_no_action_is_a_wildcard(assembly: Assembly) -> None:
    policies = assembly.resources("AWS::IAM::Policy")
    actions = [
        action
        for name, policy in policies.items()
        if "/ContainerImageBuild"
        not in name  # cdklabs.deploy_time_build's, by CDK's grant of reading an asset
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in _list(statement["Action"])
    ]
    assert [action for action in actions if "*" in action] == []


def test_two_environments_share_no_physical_name(assemblies: dict[str, Assembly]) -> None:
    dev, prod = (_physical_names(assemblies[name]) for name in ("dev", "prod"))
    assert {"fmops-dev", "fmops_dev", "fmops-dev-assistant"} <= dev
    assert dev & prod == set()


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_physical_names_begin_with_prefix_and_profile(assemblies: dict[str, Assembly], name: str) -> None:
    stray = [
        value for value in _physical_names(assemblies[name]) if not re.search(rf"fmops[-_]{name}", value)
    ]
    assert stray == []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# Names within a parent: a role, a user pool, a database, a log group, a service, a policy store.
NAMED_WITHIN_PARENT = {
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Cognito::UserPoolGroup",
    "AWS::Glue::Table",
    "AWS::IAM::Policy",
    "AWS::Logs::LogStream",
    "AWS::VerifiedPermissions::Policy",
    "AWS::VerifiedPermissions::PolicyTemplate",
}
PHYSICAL_NAME = re.compile(
    r"^(Name|Alias|Family|[A-Za-z]*(Function|Role|Bucket|Table|Topic|LogGroup|Cluster|UserPool|Stream|Policy"
    r"|Secret|LoadBalancer|TargetGroup)Name)$"
)


def _physical_names(assembly: Assembly) -> set[str]:
    names = set()
    for resource in assembly.resources().values():
        if resource["Type"] in NAMED_WITHIN_PARENT:
            continue
        properties = resource.get("Properties", {})
        for key, value in {**properties, **properties.get("DatabaseInput", {})}.items():
            if PHYSICAL_NAME.match(key) and _literal(value):
                names.add(_literal(value))
    return names


def _literal(value: Any) -> str:
    """Return a name that is written in the template, or '' if it is, or is made from, another resource's
    name.
    """
    return value if isinstance(value, str) else ""
