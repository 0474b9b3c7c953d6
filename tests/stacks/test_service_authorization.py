"""Everything that templates grant, and that the rehearsal checks, is in AWS's own list of actions
and their resources."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from local.aws.iam import needs
from local.aws.kernel.api import Context
from tests.stacks.service_authorization import UNKNOWN_ACTIONS, actions, fits, resources
from tests.stacks.statements import Statement, allowed
from tests.synthesized import Assembly

PROFILES = ("dev", "prod", "serverless", "everything", "enclosed")

REVIEWED = {
    "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/codebuild/name": (
        "the CDK's CodeBuild project grants its log group in both forms, with and without `:*`"
    ),
}
"""Resources of statements that fit none of their actions, with the reason."""


def problems(statement: Statement) -> list[str]:
    """Return each action without a resource in its statement, and each resource without an action."""
    named = {action: actions(action) for action in statement.actions}
    found = [f"{action} does not exist" for action, meant in named.items() if not meant]

    def granted(action: str, resource: str) -> bool:
        return any(fits(meant, resource) for meant in named[action])

    found += [
        f"{action} cannot be granted upon {', '.join(statement.resources)}"
        for action, meant in named.items()
        if meant and not any(granted(action, resource) for resource in statement.resources)
    ]
    found += [
        f"{resource} is no resource of {', '.join(statement.actions)}"
        for resource in statement.resources
        if resource not in REVIEWED and not any(granted(action, resource) for action in named)
    ]
    return [f"{statement.where}: {problem}" for problem in found]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_statement_of_the_templates_can_grant_what_it_says(
    assemblies: dict[str, Assembly], profile: str
) -> None:
    statements = list(allowed(assemblies[profile].templates))
    assert len(statements) > 20
    assert [problem for statement in statements for problem in problems(statement)] == []


@pytest.mark.parametrize(
    ("action", "resource", "problem"),
    [
        ("bedrock:Converse", "*", "does not exist"),
        ("s3:GetObjekt*", "*", "does not exist"),
        ("bedrock:CreateEvaluationJob", "arn:aws:bedrock:r:1:evaluation-job/*", "cannot be granted upon"),
        ("logs:CreateLogGroup", "arn:aws:logs:r:1:log-group:/aws/x", "cannot be granted upon"),
        ("s3:GetObject", "arn:aws:s3:::bucket", "cannot be granted upon"),
        ("verifiedpermissions:IsAuthorized", "arn:aws:verifiedpermissions:r:1:policy-store/p", "cannot be"),
        ("sagemaker:CallMlflowAppApi", "arn:aws:sagemaker:r:1:mlflow-tracking-server/s", "cannot be granted"),
    ],
)
def test_a_statement_that_can_grant_nothing_is_named(action: str, resource: str, problem: str) -> None:
    found = problems(Statement("here", (action,), (resource,)))
    assert found and problem in found[0]


VALUES = {
    "Arn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-1",
    "jobIdentifier": "arn:aws:bedrock:us-east-1:123456789012:evaluation-job/j1",
    "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:m",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "roleArn": "arn:aws:iam::123456789012:role/r",
    "executionRoleArn": "arn:aws:iam::123456789012:role/r",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic",
    "SecretId": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-abcdef",
    "FunctionName": "f",
    "modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "Names": None,
    "Delete": {"Objects": [{"Key": "k"}]},
    "RequestItems": {"t": {}},
    "Tags": [{"Key": "team", "Value": "claims"}],
    "jobTags": [{"key": "team", "value": "claims"}],
    "tags": {"team": "claims"},
    "inferenceConfig": {
        "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "claims-desk"}}]
    },
    "evaluationConfig": {
        "automated": {
            "evaluatorModelConfig": {
                "bedrockEvaluatorModels": [{"modelIdentifier": "us.amazon.nova-pro-v1:0"}]
            }
        }
    },
}


HEADERS = {
    "X-Amz-Tagging": "team=claims",
    "X-Amz-Acl": "private",
    "X-Amz-Object-Lock-Mode": "GOVERNANCE",
    "X-Amz-Object-Lock-Legal-Hold": "ON",
    "X-Amz-Bypass-Governance-Retention": "true",
}


class Given(dict[str, Any]):
    """Parameters of a request: those above, and a plain word for every other one."""

    def __missing__(self, name: str) -> Any:
        return VALUES.get(name, "word")

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


class Everything(dict[str, str]):
    """A mapping in which everything has the same value."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get(self, _: str, __: Any = None) -> Any:
        return self._value


@pytest.mark.parametrize(("service", "operation"), sorted(needs.RULES))
def test_what_a_call_needs_is_an_action_upon_one_of_its_resources(service: str, operation: str) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    context: Any = Context(
        cloud=SimpleNamespace(bucket_key=lambda _: key, encryption_keys=Everything(key)),  # type: ignore[arg-type]
        service=service,
        operation=operation,
        region="us-east-1",
        account="123456789012",
        caller=None,  # type: ignore[arg-type]
        headers=HEADERS,
    )
    for need in needs.needs(context, Given()):
        assert actions(need.action) == [need.action]
        assert "*" not in need.resource or need.resource == "*", "a request is about one resource"
        plain = need.resource == "*"
        assert ("*" in resources(need.action)) if plain else fits(need.action, need.resource)


def test_an_unknown_action_is_reviewed_with_its_source() -> None:
    assert all(re.search(r"Guide|Reference", source) for source in UNKNOWN_ACTIONS.values())
