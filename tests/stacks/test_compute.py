"""On Lambda the assistant is the same: image, environment, permissions; and it costs nothing idle."""

import json
from typing import Any

import pytest
from constructs.agent_function import FunctionEnvironmentError

import app
from tests.synthesized import Assembly, context

# What differs, and no more: Lambda sets the region itself; the adapter; no time after the answer; the
# collector
# in the same sandbox.
ONLY_ON_ECS = {"FMOPS_KEEP_ALIVE_SECONDS", "AWS_REGION"}
ONLY_ON_LAMBDA = {
    "AWS_LWA_PORT",
    "AWS_LWA_READINESS_CHECK_PATH",
    "AWS_LWA_INVOKE_MODE",
    "AWS_LWA_ASYNC_INIT",
    "FMOPS_FLUSH_EACH_REQUEST",
    "FMOPS_COLLECTOR_OPTIONS",
    "OTLP_HTTP_ENDPOINT",
    "HEALTH_CHECK_ENDPOINT",
    "AMP_REMOTE_WRITE_ENDPOINT",
}

# Billed by the hour or the month, whether used or not. A key and a secret are the exceptions: a dollar
# and forty cents.
IDLE_COSTS = (
    "AWS::EC2::",
    "AWS::ECS::",
    "AWS::ElasticLoadBalancingV2::",
    "AWS::SageMaker::MlflowTrackingServer",
    "AWS::Grafana::",
    "AWS::WAFv2::",
    "AWS::RDS::",
)


def test_the_environment_is_the_one_of_ecs(assemblies: dict[str, Assembly]) -> None:
    (task,) = assemblies["dev"].resources("AWS::ECS::TaskDefinition").values()
    containers = {each["Name"]: each for each in task["Properties"]["ContainerDefinitions"]}
    ecs = {each["Name"] for each in containers["assistant"]["Environment"]}
    assert set(_variables(assemblies["serverless"])) == (ecs - ONLY_ON_ECS) | ONLY_ON_LAMBDA


def test_the_collector_finds_its_variables(assemblies: dict[str, Assembly]) -> None:
    from observability.collector.config import variables
    from observability.collector.template import compose

    given = {*_variables(assemblies["serverless"]), "AWS_REGION"}
    assert variables(compose(waits=False)) <= given


def test_the_role_may_do_what_the_task_may_and_write_its_log(assemblies: dict[str, Assembly]) -> None:
    task, function = (
        _actions(assemblies[name], role) for name, role in [("dev", "AppTaskRole"), ("serverless", "AppRole")]
    )
    assert function - task == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert task - function == set()


def test_no_secret_is_in_its_environment(assemblies: dict[str, Assembly]) -> None:
    assert "resolve:secretsmanager" not in json.dumps(_variables(assemblies["serverless"]))


def test_answers_are_streamed(assemblies: dict[str, Assembly]) -> None:
    methods = assemblies["serverless"].resources("AWS::ApiGateway::Method").values()
    assert len(methods) == 2
    for method in methods:
        integration = method["Properties"]["Integration"]
        assert integration["ResponseTransferMode"] == "STREAM"
        assert "/response-streaming-invocations" in json.dumps(integration["Uri"])
    assert _variables(assemblies["serverless"])["AWS_LWA_INVOKE_MODE"] == "response_stream"


def test_nothing_is_billed_while_idle(assemblies: dict[str, Assembly]) -> None:
    types = {each["Type"] for each in assemblies["serverless"].resources().values()}
    assert sorted(each for each in types if each.startswith(IDLE_COSTS)) == []


def test_a_larger_environment_than_lambda_takes_is_refused_by_name() -> None:
    rule = {"categories": ["secrets"], "directions": ["tool_arguments"], "action": "block"}
    changes: dict[str, Any] = dict(context("serverless")["fmops"]["serverless"]["assistant"])
    changes["guardrails"] = {"rules": [rule] * 60}
    with pytest.raises(FunctionEnvironmentError, match="FMOPS_GUARDRAILS, but Lambda takes 4096: shorten"):
        app.build(context("serverless", assistant=changes))


def _variables(assembly: Assembly) -> dict[str, Any]:
    (function,) = [
        each
        for name, each in assembly.resources("AWS::Lambda::Function").items()
        if name.startswith("Assistant/App")
    ]
    return dict(function["Properties"]["Environment"]["Variables"])


def _actions(assembly: Assembly, role: str) -> set[str]:
    (policy,) = [
        each
        for name, each in assembly.resources("AWS::IAM::Policy").items()
        if name.startswith(f"Assistant/{role}Default")
    ]
    found: set[str] = set()
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        found |= set(actions if isinstance(actions, list) else [actions])
    return found
