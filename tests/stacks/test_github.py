"""GitHub's workflows get the right roles, and the roles may only assume the bootstrap's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from constructs.github_access import GitHubAccess

import settings
from tests.synthesized import Assembly, context

ISSUER = "token.actions.githubusercontent.com"


@pytest.fixture(scope="module")
def stack(assemblies: dict[str, Assembly]) -> dict[str, Any]:
    resources: dict[str, Any] = assemblies["everything"].templates["GitHub"]["Resources"]
    return resources


def trusted(stack: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions under which each role may be assumed."""
    return {
        name: statement["Condition"]
        for name, resource in stack.items()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }


def test_each_role_is_for_one_subject_of_one_repository(stack: dict[str, Any]) -> None:
    subjects = {}
    for name, condition in trusted(stack).items():
        assert list(condition) == ["StringEquals"], "a pattern would trust other repositories"
        assert condition["StringEquals"][f"{ISSUER}:aud"] == "sts.amazonaws.com"
        subjects[name[:-8]] = condition["StringEquals"][f"{ISSUER}:sub"]
    assert subjects == {
        "AccessDeployRole": "repo:example/fmops:environment:everything",
        "AccessLookupRole": "repo:example/fmops:pull_request",
    }


def test_the_roles_may_only_assume_the_bootstraps_roles_of_the_qualifier(stack: dict[str, Any]) -> None:
    may = {}
    for resource in stack.values():
        if resource["Type"] != "AWS::IAM::Policy":
            continue
        (statement,) = resource["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        resources = statement["Resource"]
        arns = [json.dumps(arn) for arn in (resources if isinstance(resources, list) else [resources])]
        assert all("*" not in arn for arn in arns)
        may[resource["Properties"]["Roles"][0]["Ref"][:-8]] = [
            arn.split(":role/cdk-team-")[1].split("-role-")[0] for arn in arns
        ]
    assert may == {
        "AccessDeployRole": ["deploy", "file-publishing", "image-publishing", "lookup"],
        "AccessLookupRole": ["lookup"],
    }


def test_a_provider_that_is_there_is_trusted_and_none_is_made() -> None:
    arn = f"arn:aws:iam::111122223333:oidc-provider/{ISSUER}"
    stack = Stack(App(), "Stack")
    GitHubAccess(
        stack,
        "Access",
        repository="me/mine",
        environment="dev",
        bootstrap_qualifier="hnb659fds",
        provider_arn=arn,
    )
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    roles = template.find_resources("AWS::IAM::Role").values()
    statements = [role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0] for role in roles]
    assert [statement["Principal"] for statement in statements] == [{"Federated": arn}] * 2


@pytest.mark.parametrize(
    ("github", "sentence"),
    [
        ({"name": "mine"}, "fmops.dev.delivery.github.name is"),
        ({"name": "me/mine*"}, "fmops.dev.delivery.github.name is"),
        (
            {"name": "me/mine", "provider_arn": f"arn:aws:iam::444455556666:oidc-provider/{ISSUER}"},
            "delivery.github.provider_arn is of another account than 111122223333",
        ),
    ],
)
def test_what_cannot_be_is_refused(github: dict[str, str], sentence: str) -> None:
    with pytest.raises(settings.SettingsError, match=sentence.replace(".", r"\.")):
        settings.load(context("dev", account="111122223333", delivery={"github": github}))


def test_there_are_no_roles_unless_a_repository_is_named(assemblies: dict[str, Assembly]) -> None:
    assert "GitHub" not in assemblies["dev"].templates
