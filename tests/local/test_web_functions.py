"""A function behind an API answers piece by piece, and is frozen once it has answered, as on Lambda."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.aws.kernel.cloud import Cloud
from local.run.runner import Runner
from tests.local.test_deploy import make_stack

PORT = 23710


def _template(**changes: Any) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    function: dict[str, Any] = {
        "PackageType": "Image",
        "Code": {"ImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/x:y"},
        "ImageConfig": {"Command": ["python", "-m", "tests.local.web_probe"]},
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Timeout": 30,
        "Environment": {
            "Variables": {
                "AWS_LWA_PORT": str(PORT),
                "AWS_LWA_READINESS_CHECK_PATH": "/ready",
                "AWS_LWA_INVOKE_MODE": "response_stream",
                "SPOOL": "/tmp/spool",
                **changes,
            }
        },
    }
    uri = [
        "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/",
        {"Fn::GetAtt": ["Function", "Arn"]},
        "/response-streaming-invocations",
    ]
    method = {
        "RestApiId": {"Ref": "Api"},
        "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
        "HttpMethod": "ANY",
        "AuthorizationType": "NONE",
        "Integration": {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Join": ["", uri]}},
    }
    return {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}},
        },
        "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
        "Method": {"Type": "AWS::ApiGateway::Method", "Properties": method},
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": {"Ref": "Api"}},
            "DependsOn": ["Method"],
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "live",
            },
        },
    }


@pytest.fixture(scope="module")
def url(cloud: Cloud) -> Iterator[str]:
    make_stack(cloud, "Web", _template())
    runner = Runner(cloud, api_port=PORT + 1)
    try:
        runner.start()
        runner.wait_ready()
        yield runner.base_url()
    finally:
        runner.stop()


def test_the_stage_is_the_apis_and_not_the_applications(url: str) -> None:
    assert url.endswith("/live")
    assert httpx.get(f"{url}/echo?x=1").json()["path"] == "/echo?x=1"
    assert httpx.get(url.removesuffix("/live") + "/echo").status_code == 403


def test_it_runs_as_its_role_with_its_environment_and_a_trace(url: str) -> None:
    answer = httpx.post(f"{url}/echo", json={"a": 1}).json()
    assert answer["body"] == {"a": 1}
    assert ":assumed-role/" in answer["who"]
    assert answer["spool"].endswith("/tmp/spool")
    assert answer["spool"] != "/tmp/spool"
    assert answer["trace"].startswith("Root=1-")


def test_pieces_arrive_before_the_answer_ends(url: str) -> None:
    """Let the application send the second piece only after a sign by another way: a file that we write."""
    host, _, path = url.removeprefix("http://").partition("/")
    spool = httpx.post(f"{url}/echo").json()["spool"]
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"/{path}/pieces")
    answer = connection.getresponse()
    assert answer.read1(100) == b"first"
    with open(f"{spool}-go", "w"):  # noqa: PTH123
        pass
    assert answer.read() == b"second"


def test_what_it_does_after_its_answer_waits_for_the_next_request(url: str) -> None:
    """Let the application count in a thread, as fast as it can, and report the count."""
    before = httpx.get(f"{url}/count").json()["ticks"]
    states = httpx.get(f"{url}/echo").json()
    # The sandbox is frozen after the client has its answer, and the kernel takes a moment to stop a process.
    assert _becomes(states["pid"], "T")
    assert httpx.get(f"{url}/count").json()["ticks"] > before


def _becomes(pid: int, state: str) -> bool:
    until = time.monotonic() + 10
    while (now := _state(pid)) != state and time.monotonic() < until:
        time.sleep(0.01)
    return now == state


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0]


def test_json_is_whole(url: str) -> None:
    assert json.loads(httpx.get(f"{url}/echo").content)["path"] == "/echo"
