"""The ``aws`` block of a segment, its origin, and the attributes that they take from the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local.collector.telemetry import Attributes, text

ORIGINS = {
    "aws_app_runner": "AWS::AppRunner::Service",
    "aws_eks": "AWS::EKS::Container",
    "aws_elastic_beanstalk": "AWS::ElasticBeanstalk::Environment",
    "aws_ecs": "AWS::ECS::Container",
    "aws_ec2": "AWS::EC2::Instance",
}
ECS_ORIGINS = {"ec2": "AWS::ECS::EC2", "fargate": "AWS::ECS::Fargate"}
TAKEN = {
    "rpc.method": "",
    "aws.operation": "",
    "aws.account_id": "",
    "aws.region": "region",
    "aws.request_id": "request_id",
    "aws.requestId": "request_id",
    "aws.queue_url": "queue_url",
    "aws.queue.url": "queue_url",
    "aws.table_name": "table_name",
    "aws.table.name": "table_name",
}
"""The field that a span attribute fills; attributes without one have a rule of their own."""
ECS = {
    "container": "container.name",
    "container_id": "container.id",
    "availability_zone": "cloud.availability_zone",
    "container_arn": "aws.ecs.container.arn",
    "cluster_arn": "aws.ecs.cluster.arn",
    "task_arn": "aws.ecs.task.arn",
    "task_family": "aws.ecs.task.family",
    "launch_type": "aws.ecs.launchtype",
}
EC2 = {
    "instance_id": "host.id",
    "availability_zone": "cloud.availability_zone",
    "instance_size": "host.type",
    "ami_id": "host.image.id",
}
EKS = {"cluster_name": "k8s.cluster.name", "pod": "k8s.pod.name", "container_id": "container.id"}


def origin(resource: Attributes) -> str:
    """Return the AWS resource type that a span's resource runs on, or nothing for one outside AWS."""
    if "cloud.provider" in resource and resource["cloud.provider"] != "aws":
        return ""
    platform = text(resource.get("cloud.platform"))
    if platform == "aws_ecs":
        return ECS_ORIGINS.get(text(resource.get("aws.ecs.launchtype")), ORIGINS[platform])
    return ORIGINS.get(platform, "")


def aws_block(
    values: Attributes, resource: Attributes, log_groups: Sequence[str] = ()
) -> tuple[Attributes, dict[str, Any] | None]:
    """Return the attributes that are not AWS's, and the block unless the resource belongs to another cloud."""
    rest = {key: value for key, value in values.items() if key not in TAKEN}
    if text(resource.get("cloud.provider")) not in ("", "aws"):
        return rest, None
    called = {
        field: text(value) for key, value in values.items() if (field := TAKEN.get(key)) and text(value)
    }
    called["operation"] = text(values.get("aws.operation", values.get("rpc.method")))
    called["account_id"] = text(resource.get("cloud.account.id"))
    if values.get("aws.account_id") is not None:
        called["account_id"] = text(values["aws.account_id"])
    if "messaging.url" in values:
        called["queue_url"] = text(values["messaging.url"])
    block: dict[str, Any] = called | _tables(values.get("aws.dynamodb.table_names"))
    block = {key: value for key, value in block.items() if value}
    block["xray"] = _sdk(resource)
    if logs := _log_groups(resource, log_groups):
        block["cloudwatch_logs"] = logs
    return rest, block | _compute(resource)


def _tables(names: Any) -> dict[str, Any]:
    """Return DynamoDB's tables: one as a name, several as a list."""
    if isinstance(names, str):
        return {"table_name": names}
    if not isinstance(names, list) or not names:
        return {}
    if len(names) == 1:
        return {"table_name": text(names[0])}
    return {"table_name": "", "table_names": [text(name) for name in names]}


def _sdk(resource: Attributes) -> dict[str, Any]:
    name, language = text(resource.get("telemetry.sdk.name")), text(resource.get("telemetry.sdk.language"))
    sdk = f"{name} for {language}" if name and language else name
    automatic = [text(resource.get(f"telemetry.{key}.version")) for key in ("auto", "distro")]
    named = {"sdk": sdk, "sdk_version": text(resource.get("telemetry.sdk.version"))}
    return {key: value for key, value in named.items() if value} | {"auto_instrumentation": any(automatic)}


def _log_groups(resource: Attributes, configured: Sequence[str]) -> list[dict[str, str]]:
    if arns := _names(resource.get("aws.log.group.arns")):
        return [{"log_group": _group_of(arn), "arn": arn} for arn in arns]
    names = _names(resource.get("aws.log.group.names")) or configured
    return [{"log_group": name} for name in names]


def _names(value: Any) -> list[str]:
    """Return the names in a list, or in a variable's text, separated by ``&``."""
    if isinstance(value, str):
        return [name for name in value.split("&") if name]
    return [text(name) for name in value] if isinstance(value, list) else []


def _group_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[6] if len(parts) >= 7 else arn


def _compute(resource: Attributes) -> dict[str, Any]:
    """Return the place where the service runs, according to its resource: EC2, ECS, Elastic Beanstalk or
    EKS.
    """
    platform = text(resource.get("cloud.platform"))
    block: dict[str, Any] = {}
    if platform == "aws_ec2" or text(resource.get("host.id")):
        block["ec2"] = _fields(resource, EC2, always=True)
    if platform == "aws_ecs":
        block["ecs"] = _fields(resource, ECS, always=False)
    if platform == "aws_elastic_beanstalk" and (deployment := text(resource.get("service.instance.id"))):
        block["elastic_beanstalk"] = {
            "environment_name": text(resource.get("service.namespace")) or None,
            "version_label": text(resource.get("service.version")) or None,
            "deployment_id": int(deployment) if _is_int64(deployment) else 0,
        }
    if platform == "aws_eks" or text(resource.get("k8s.cluster.name")):
        block["eks"] = _fields(resource, EKS, always=True)
    return block


def _fields(resource: Attributes, names: dict[str, str], *, always: bool) -> dict[str, str | None]:
    """Return fields of a resource; with ``always`` also the empty ones, as null."""
    found = {field: text(resource.get(key)) or None for field, key in names.items()}
    return found if always else {field: value for field, value in found.items() if value}


def _is_int64(digits: str) -> bool:
    unsigned = digits[1:] if digits[:1] in ("+", "-") else digits
    return (
        unsigned.isascii() and unsigned.isdigit() and len(unsigned) < 20 and -(2**63) <= int(digits) < 2**63
    )
