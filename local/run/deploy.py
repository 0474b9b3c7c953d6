"""Create the stacks of a cloud assembly in the local AWS, as `cdk deploy` would: first the assets, then stack by
stack."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from local.aws.cloudformation.provisioner import Report, install
from local.aws.kernel.cloud import Cloud

BOOTSTRAP_VERSION = "32"
TEMPLATE_SECONDS = 60


class DeployError(Exception):
    """A stack failed; the message is the cause."""


@dataclass
class Deployment:
    """The stacks that were created."""

    outputs: dict[str, dict[str, str]] = field(default_factory=dict)  # stack id -> output -> value
    stack_names: dict[str, str] = field(default_factory=dict)  # stack id -> stack name
    seconds: dict[str, float] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


def deploy(
    cloud: Cloud, assembly: Path, *, progress: Callable[[str, float], None] | None = None
) -> Deployment:
    """Create every stack of a cloud assembly, each after those it depends on. DeployError names
    stack and resource."""
    manifest = json.loads((assembly / "manifest.json").read_text())
    artifacts: dict[str, Any] = manifest["artifacts"]
    deployment = Deployment(report=install(cloud))
    began = time.monotonic()
    _bootstrap(cloud, artifacts)
    _publish_all(cloud, assembly, artifacts)
    deployment.seconds["assets"] = time.monotonic() - began
    for stack_id in _deploy_order(artifacts):
        artifact = artifacts[stack_id]
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        began = time.monotonic()
        name = artifact["properties"]["stackName"]
        deployment.outputs[stack_id] = _create_stack(cloud, name, artifact["properties"])
        deployment.stack_names[stack_id] = name
        deployment.seconds[stack_id] = time.monotonic() - began
        if progress:
            progress(name, deployment.seconds[stack_id])
    return deployment


def _deploy_order(artifacts: Mapping[str, Any]) -> Iterable[str]:
    needed = {name: artifact.get("dependencies", ()) for name, artifact in artifacts.items()}
    return TopologicalSorter(needed).static_order()


def _bootstrap(cloud: Cloud, artifacts: Mapping[str, Any]) -> None:
    """Create what templates expect from `cdk bootstrap`, under the qualifier that they name."""
    names = {
        artifact.get("properties", {}).get("bootstrapStackVersionSsmParameter")
        for artifact in artifacts.values()
    }
    for name in names - {None}:
        cloud.client("ssm").put_parameter(Name=name, Value=BOOTSTRAP_VERSION, Type="String", Overwrite=True)


def _publish_all(cloud: Cloud, assembly: Path, artifacts: Mapping[str, Any]) -> None:
    """Upload every file asset; Docker image assets need no upload, since processes stand in for containers."""
    uploads: dict[tuple[str, str], dict[str, Any]] = {}
    for artifact in artifacts.values():
        if artifact["type"] != "cdk:asset-manifest":
            continue
        for asset in json.loads((assembly / artifact["properties"]["file"]).read_text())["files"].values():
            for destination in asset["destinations"].values():
                bucket = _fill(destination["bucketName"], cloud)
                uploads[bucket, _fill(destination["objectKey"], cloud)] = asset["source"]
    s3 = cloud.client("s3")
    for bucket in {bucket for bucket, _ in uploads}:
        location = (
            {}
            if cloud.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        )
        s3.create_bucket(Bucket=bucket, **location)

    def upload(target: tuple[str, str], source: Mapping[str, Any]) -> None:
        s3.put_object(Bucket=target[0], Key=target[1], Body=_asset_body(assembly, source))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upload, uploads.keys(), uploads.values()))


def _fill(text: str, cloud: Cloud) -> str:
    for name, value in (
        ("AWS::AccountId", cloud.account),
        ("AWS::Region", cloud.region),
        ("AWS::Partition", "aws"),
    ):
        text = text.replace(f"${{{name}}}", value)
    return text


def _asset_body(assembly: Path, source: Mapping[str, Any]) -> bytes:
    path = assembly / str(source["path"])
    if source["packaging"] != "zip":
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(path))
    return buffer.getvalue()


def _create_stack(cloud: Cloud, name: str, properties: Mapping[str, Any]) -> dict[str, str]:
    """Create a stack and return its outputs, without CDK's exports between stacks."""
    bucket, _, key = (
        _fill(properties["stackTemplateAssetObjectUrl"], cloud).removeprefix("s3://").partition("/")
    )
    cloudformation = cloud.client("cloudformation")
    try:
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{cloud.endpoint}/{bucket}/{key}",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": key, "Value": value} for key, value in properties.get("tags", {}).items()],
        )
    except cloudformation.exceptions.ClientError as error:
        raise DeployError(f"stack {name} failed: {error.response['Error']['Message']}") from error
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise DeployError(
            f"stack {name} is {stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason given')}"
        )
    return {
        output["OutputKey"]: output["OutputValue"]
        for output in stack.get("Outputs", [])
        if not output["OutputKey"].startswith("ExportsOutput")
    }
