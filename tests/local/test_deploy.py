"""The synthesized templates of every profile, deployed; their containers, started and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.aws.cloudformation.provisioner import install
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.run.containers import UnresolvedError, read_services
from local.run.deploy import DeployError, Deployment, _create_stack, deploy
from local.run.options import ALL_OPTIONS
from local.run.standins import reasons
from local.run.synthesis import SynthesisError, synthesize
from local.run.web_functions import read_web_functions

pytestmark = pytest.mark.rehearsal
PROFILES = ("dev", "prod", "serverless", "everything", "enclosed")


@dataclass
class Deployed:
    cloud: Cloud
    deployment: Deployment
    assembly: Path


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the cloud assembly of each profile."""
    directories = {profile: tmp_path_factory.mktemp(profile) / "cdk.out" for profile in PROFILES}
    for profile, directory in directories.items():
        synthesize(directory, context={"profile": profile, "profiles": str(ALL_OPTIONS)})
    return directories


@pytest.fixture(scope="module", params=PROFILES)
def deployed(request: pytest.FixtureRequest, assemblies: dict[str, Path]) -> Iterator[Deployed]:
    assembly = assemblies[request.param]
    with LocalAws(port=0, directory=assembly.parent) as cloud:
        yield Deployed(cloud, deploy(cloud, assembly), assembly)


def resource_types(assembly: Path) -> set[str]:
    templates = [json.loads(path.read_text()) for path in assembly.glob("*.template.json")]
    return {resource["Type"] for template in templates for resource in template["Resources"].values()}


def test_every_stack_is_complete_and_every_output_is_there(deployed: Deployed) -> None:
    cloudformation = deployed.cloud.client("cloudformation")
    for name in deployed.deployment.stack_names.values():
        assert cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    wanted = {
        "Identity": {"UserPoolId", "UserPoolClientId", "PolicyStoreId"},
        "Tracking": {"MlflowArn"},
        "Observability": {"PrometheusWorkspaceId", "PrometheusEndpoint"},
        "Capture": {"LakeBucketName", "DeliveryStreamName", "GlueDatabaseName", "GlueTableName"},
        "Analysis": {"StateMachineArn"},
        "Assistant": {"AssistantUrl", "RecordsTableName"},
    }
    for stack, names in wanted.items():
        assert names <= set(deployed.deployment.outputs[stack]), stack


def test_every_variable_and_secret_of_every_container_resolves(deployed: Deployed, tmp_path: Path) -> None:
    outputs = deployed.deployment.outputs
    if "FunctionName" in outputs["Assistant"]:
        (function,) = read_web_functions(deployed.cloud)
        environment = sending = function.environment
        assert function.command == ["python", "-m", "fmops.assistant"]
        assert function.streams
        assert "AWS_SESSION_TOKEN" in environment
    else:
        (containers,) = read_services(deployed.cloud, tmp_path)
        assert [container.name for container in containers] == ["collector", "assistant"]
        environment, sending = containers[1].environment, containers[0].environment
        assert Path(environment["FMOPS_SPOOL_DIRECTORY"]).is_dir()
    assert environment["FMOPS_POLICY_STORE_ID"] == outputs["Identity"]["PolicyStoreId"]
    assert environment["FMOPS_DELIVERY_STREAM"] == outputs["Capture"]["DeliveryStreamName"]
    assert environment["FMOPS_PSEUDONYM_KEY_SECRET"] == outputs["Assistant"]["PseudonymKeyArn"]
    assert sending["AMP_REMOTE_WRITE_ENDPOINT"].startswith(deployed.cloud.endpoint)


def test_a_secret_is_read_by_the_execution_role(cloud: Cloud, tmp_path: Path) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "open sesame"}}
    container = {
        "Name": "app",
        "Image": "x",
        "Memory": 64,
        "Secrets": [{"Name": "WORD", "ValueFrom": {"Ref": "Secret"}}],
    }
    make_stack(cloud, "Secrets", {"Secret": secret, **_service(role, container)})
    environments = [each.environment for containers in read_services(cloud, tmp_path) for each in containers]
    assert {"WORD": "open sesame"} in environments
    readers = {who for who, _, operation in cloud.calls if operation == "GetSecretValue"}
    assert any("ExecutionRole" in reader for reader in readers)


def test_stand_ins_are_exactly_the_reviewed_ones(deployed: Deployed) -> None:
    assert deployed.deployment.report.stand_in_types == resource_types(deployed.assembly) & set(reasons())


def test_every_reviewed_stand_in_is_in_some_template(assemblies: dict[str, Path]) -> None:
    assert set(reasons()) <= {each for assembly in assemblies.values() for each in resource_types(assembly)}


def make_stack(
    cloud: Cloud, name: str, resources: dict[str, Any], outputs: dict[str, Any] | None = None
) -> dict[str, str]:
    install(cloud)
    bucket = f"templates-{name.lower()}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    template = {"Resources": resources, "Outputs": outputs or {}}
    cloud.client("s3").put_object(Bucket=bucket, Key="t.json", Body=json.dumps(template).encode())
    return _create_stack(cloud, name, {"stackTemplateAssetObjectUrl": f"s3://{bucket}/t.json"})


def _service(role: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """Create one container as an ECS service."""
    return {
        "TaskRole": role,
        "ExecutionRole": role,
        "Cluster": {"Type": "AWS::ECS::Cluster"},
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "TaskRoleArn": {"Fn::GetAtt": ["TaskRole", "Arn"]},
                "ExecutionRoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
                "ContainerDefinitions": [container],
            },
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "Cluster": {"Ref": "Cluster"},
                "TaskDefinition": {"Ref": "Task"},
                "DesiredCount": 1,
            },
        },
    }


def test_a_resource_that_fails_is_named_with_its_reason(cloud: Cloud) -> None:
    store = {
        "Type": "AWS::VerifiedPermissions::PolicyStore",
        "Properties": {"ValidationSettings": {"Mode": "STRICT"}},
    }
    definition = {"Static": {"Statement": "permit (principal, action"}}
    policy = {
        "Type": "AWS::VerifiedPermissions::Policy",
        "Properties": {"PolicyStoreId": {"Ref": "Store"}, "Definition": definition},
    }
    with pytest.raises(
        DeployError,
        match=r"stack Broken failed: Broken: Policy \(AWS::VerifiedPermissions::Policy\).*Invalid policy",
    ):
        make_stack(cloud, "Broken", {"Store": store, "Policy": policy})


def test_a_container_that_depends_on_a_stand_in_is_refused_by_name(cloud: Cloud, tmp_path: Path) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    container = {
        "Name": "app",
        "Image": "x",
        "Memory": 64,
        "Environment": [{"Name": "GRAFANA", "Value": {"Fn::GetAtt": ["Grafana", "Endpoint"]}}],
    }
    grafana = {"Type": "AWS::Grafana::Workspace", "Properties": {"AccountAccessType": "CURRENT_ACCOUNT"}}
    make_stack(cloud, "Dashboards", {"Grafana": grafana, **_service(role, container)})
    with pytest.raises(
        UnresolvedError, match="container app: variable GRAFANA depends on a resource that is only a stand-in"
    ):
        list(read_services(cloud, tmp_path))


def test_a_bad_profile_is_the_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="The profile 'production' is not in the context"):
        synthesize(tmp_path, context={"profile": "production"})


def test_ctrl_c_leaves_no_process_behind() -> None:
    """Interrupt a run from the command line, while containers and servers run."""
    before = _sessions()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "local", "up", "--port-base", "23500"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background makes its children ignore the interrupt.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if "start the containers" in line:
            break
    children = _descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    output += process.communicate(timeout=90)[0]
    servers = 3 + bool(shutil.which("prometheus"))  # collector, assistant, MLflow, Prometheus
    assert len(children) >= servers, output
    assert "stopping" in output
    assert {pid for pid in children if _is_running(pid)} == set()
    assert _sessions() - before == set()


def _descendants(pid: int) -> set[int]:
    found = {
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    }
    return found | {each for child in found for each in _descendants(child)}


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def _sessions() -> set[str]:
    """Return the commands of processes that belong to a local run on our test's ports."""
    commands = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text().replace("\0", " ")
        except OSError:
            continue
        if "2350" in command and ("mlflow" in command or "prometheus" in command):
            commands.add(command)
    return commands
