"""The tracking server, which no profile has: its template, and what the roles of its clients may do."""

from __future__ import annotations

from pathlib import Path

import pytest
from constructs.mlflow_server import MlflowServer
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.synthesized import Assembly, _synthesize


@pytest.fixture(scope="module")
def with_server(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    directory: Path = tmp_path_factory.mktemp("server")
    return _synthesize("dev", directory, tracking={"kind": "server", "server_size": "Medium"})


def test_its_template_is_the_reviewed_one(with_server: Assembly, snapshot: SnapshotAssertion) -> None:
    template = with_server.templates["Tracking"]
    assert template == snapshot(extension_class=JSONSnapshotExtension)


def test_it_has_no_finding_that_nobody_acknowledged(with_server: Assembly) -> None:
    assert [violation for report in with_server.report for violation in report["violations"]] == []


def test_its_clients_may_call_its_api_action_by_action_and_not_the_app_s(with_server: Assembly) -> None:
    statements = [
        (stack.split("/")[0], statement)
        for stack, policy in with_server.resources("AWS::IAM::Policy").items()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "mlflow" in str(statement["Action"]).lower()
    ]
    assert {stack for stack, _ in statements} == {"Assistant", "Review", "Analysis"}
    for stack, statement in statements:
        opens = {"sagemaker:CreatePresignedMlflowTrackingServerUrl"} if stack == "Assistant" else set()
        api = {f"sagemaker-mlflow:{action}" for action in MlflowServer.ACTIONS}
        assert set(statement["Action"]) == api | opens
        assert "*" not in str(statement["Resource"])
    assert not any("CallMlflowAppApi" in str(template) for template in with_server.templates.values())
