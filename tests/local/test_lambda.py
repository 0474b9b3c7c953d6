"""Functions run as processes with their environment and their role's credentials, and fail as Lambda's do."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, Literal

import pytest

from local.aws.kernel.cloud import Cloud

CODE = """
import os, time, boto3

def handler(event, context):
    if event.get("fail"):
        raise KeyError("claim")
    if event.get("sleep"):
        time.sleep(60)
    if event.get("exit"):
        os._exit(3)
    who = boto3.client("sts").get_caller_identity()["Arn"]
    return {"who": who, "stage": os.environ["STAGE"], "home": "HOME" in os.environ, "id": len(context.aws_request_id)}
"""


@pytest.fixture(scope="module")
def function(cloud: Cloud) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("app.py", CODE)
    role = cloud.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    cloud.client("lambda").create_function(
        FunctionName="worker",
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Timeout=3,
        Environment={"Variables": {"STAGE": "test"}},
        Code={"ZipFile": buffer.getvalue()},
    )
    return "worker"


def invoke(cloud: Cloud, name: str, event: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def test_a_function_runs_as_its_role_with_its_environment(cloud: Cloud, function: str) -> None:
    result, error = invoke(cloud, function, {})
    assert error is None
    assert result == {
        "who": "arn:aws:sts::123456789012:assumed-role/worker/worker",
        "stage": "test",
        "home": False,
        "id": 36,
    }


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"fail": True}, "KeyError", "claim"),
        ({"sleep": True}, "Sandbox.Timedout", "Task timed out after 3.00 seconds"),
        ({"exit": True}, "Runtime.ExitError", "function-worker.log"),
    ],
)
def test_failures_are_lambdas_and_the_next_call_works(
    cloud: Cloud, function: str, event: dict[str, Any], kind: str, message: str
) -> None:
    result, error = invoke(cloud, function, event)
    assert (error, result["errorType"]) == ("Unhandled", kind)
    assert message in result["errorMessage"]
    assert invoke(cloud, function, {})[1] is None


@pytest.mark.parametrize(("kind", "status"), [("Event", 202), ("DryRun", 204)])
def test_an_invocation_without_an_answer_has_the_status_alone(
    cloud: Cloud, function: str, kind: Literal["Event", "DryRun"], status: int
) -> None:
    answer = cloud.client("lambda").invoke(FunctionName=function, InvocationType=kind, Payload=b"{}")
    assert (answer["StatusCode"], answer["Payload"].read()) == (status, b"")
