"""Faults that only an account would show, since every template deploys into the local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from constructs import cedar
from moto.iam.aws_managed_policies import aws_managed_policies_data

import settings
from tests.synthesized import Assembly

PROFILES = ("dev", "prod", "serverless", "everything", "enclosed")
POLICIES = Path("policies")


def test_grafana_may_read_what_awss_own_policy_for_cloudwatch_lists(assemblies: dict[str, Assembly]) -> None:
    managed = json.loads(aws_managed_policies_data)["AmazonGrafanaCloudWatchAccess"]["Document"]
    listed = {action for statement in managed["Statement"] for action in _list(statement["Action"])}
    granted = {
        action
        for name, policy in assemblies["prod"].resources("AWS::IAM::Policy").items()
        if "GrafanaRole" in name
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in _list(statement["Action"])
    }
    assert {each for each in listed if not each.startswith("logs:")} <= granted
    assert "cloudwatch:GetMetricData" in granted


@pytest.mark.parametrize("profile", PROFILES)
def test_what_expires_is_gone_soon_after(assemblies: dict[str, Assembly], profile: str) -> None:
    """Check the days: a version expires at the midnight after them, is then noncurrent, and goes a day
    later at midnight."""
    buckets = assemblies[profile].resources("AWS::S3::Bucket").values()
    lake = next(each for each in buckets if "VersioningConfiguration" in each["Properties"])
    rules = lake["Properties"]["LifecycleConfiguration"]["Rules"]
    longest = {
        rule["Prefix"]: rule["ExpirationInDays"] + 1 + _noncurrent_days(rules, rule["Prefix"]) + 1
        for rule in rules
        if "ExpirationInDays" in rule
    }
    configured = settings.load(
        {**settings.read_context(), "profile": "dev"}
        if profile in ("everything", "enclosed")
        else {**settings.read_context(), "profile": profile}
    ).capture
    assert longest["interactions-raw/"] <= configured.raw_retention_days + 3
    assert all(
        days <= rule["ExpirationInDays"] + 3
        for rule in rules
        if "ExpirationInDays" in rule
        for days in [longest[rule["Prefix"]]]
    )
    assert any(rule.get("ExpiredObjectDeleteMarker") for rule in rules)


def _noncurrent_days(rules: list[dict[str, Any]], prefix: str) -> int:
    """Return the days of the shortest of the overlapping rules, which S3 applies."""
    return min(
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
        if prefix.startswith(rule.get("Prefix", "")) and "NoncurrentVersionExpiration" in rule
    )


BASE = 'permit (principal in FMOps::Group::"staff", action == FMOps::Action::"read", resource) when {{ {} }};'


@pytest.mark.parametrize(
    ("changed", "new"),
    [
        (BASE.format("false"), False),
        (BASE.format("true").replace('"read"', '"write"'), False),
        (BASE.format("true").replace("permit", "forbid"), True),
        (BASE.format("true").replace('"staff"', '"customers"'), True),
        (BASE.format("true").replace("principal in", "principal =="), True),
        (BASE.format("true").replace("resource)", "resource is FMOps::Claim)"), True),
    ],
)
def test_an_edit_that_cannot_be_an_update_makes_a_new_policy(changed: str, new: bool) -> None:
    before, after = (cedar.CedarPolicy("p", "", text).scope for text in (BASE.format("true"), changed))
    assert (before != after) == new


def test_a_policys_identity_and_name_carry_its_scope(assemblies: dict[str, Assembly]) -> None:
    scopes = {each.name: each.scope for each in cedar.load(POLICIES, cedar.groups(POLICIES)).policies}
    policies = assemblies["dev"].resources("AWS::VerifiedPermissions::Policy")
    assert {each["Properties"]["Name"] for each in policies.values()} == {
        f"name/{name}/{scope}" for name, scope in scopes.items()
    }
    for logical_id, policy in policies.items():
        assert policy["Properties"]["Name"].rpartition("/")[2] in logical_id


NAMES = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SageMaker::MlflowTrackingServer": "TrackingServerName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Logs::LogGroup": "LogGroupName",
}


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_outlives_its_stack_has_a_fixed_name(
    assemblies: dict[str, Assembly], profile: str
) -> None:
    """Check names, since after a destroy the next deployment would find a fixed one taken."""
    fixed = {
        name: resource["Properties"][NAMES.get(resource["Type"], "Name")]
        for name, resource in assemblies[profile].resources().items()
        if resource.get("DeletionPolicy", "Delete").startswith("Retain")
        and isinstance(resource.get("Properties", {}).get(NAMES.get(resource["Type"], "Name")), str)
    }
    assert fixed == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_first_deployment_that_fails_leaves_nothing_behind(
    assemblies: dict[str, Assembly], profile: str
) -> None:
    ours = {
        name: resource["DeletionPolicy"]
        for name, resource in assemblies[profile].resources().items()
        if resource.get("DeletionPolicy") == "Retain"
    }
    # The CDK's own provider of container images says nothing about first deployments.
    assert {name for name in ours if "ContainerImageBuild" not in name} == set()


@pytest.mark.parametrize("profile", ["prod", "everything", "enclosed"])
def test_the_firewall_logs_to_the_groups_arn_without_a_star(
    assemblies: dict[str, Assembly], profile: str
) -> None:
    (logging,) = assemblies[profile].resources("AWS::WAFv2::LoggingConfiguration").values()
    (destination,) = logging["Properties"]["LogDestinationConfigs"]
    assert not json.dumps(destination).rstrip('"]} ').endswith(":*")
    assert "GetAtt" not in json.dumps(destination), "a log group's own ARN ends with :*"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
