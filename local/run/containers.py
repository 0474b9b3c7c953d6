"""The containers that ECS would start: services and task definitions read back through the AWS APIs,
with everything resolved."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.aws.cloudformation.standins import MARK
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import TemporaryCredentials


class UnresolvedError(Exception):
    """An environment variable or a secret has no real value; the message names its owner and the variable."""


@dataclass
class Container:
    """One container of a task, ready to be started as a process."""

    name: str
    command: list[str]
    environment: dict[str, str]
    essential: bool
    depends_on: list[str]
    stop_seconds: int
    credentials_token: str
    health_path: str | None = None  # health check path of the load balancer's target group
    ports: list[int] = field(default_factory=list)


def read_services(cloud: Cloud, volumes: Path) -> Iterator[list[Container]]:
    """Return the containers of each ECS service with a desired count above 0, in the order in which they
    start.
    """
    ecs = cloud.client("ecs")
    for cluster in ecs.list_clusters()["clusterArns"]:
        services = ecs.list_services(cluster=cluster)["serviceArns"]
        if not services:
            continue
        for service in ecs.describe_services(cluster=cluster, services=services)["services"]:
            if service["desiredCount"] > 0:
                yield _in_start_order(_containers(cloud, service, volumes))


def _containers(cloud: Cloud, service: dict[str, Any], volumes: Path) -> list[Container]:
    definition = cloud.client("ecs").describe_task_definition(taskDefinition=service["taskDefinition"])[
        "taskDefinition"
    ]
    task = f"{service['serviceName']}/{secrets.token_hex(8)}"
    cluster, identifier = service["clusterArn"].rsplit("/", 1)[-1], task.rsplit("/", 1)[-1]
    source = f"arn:aws:ecs:{cloud.region}:{cloud.account}:task/{cluster}/{identifier}"
    execution_role = cloud.assume(
        definition["executionRoleArn"],
        "ecs-tasks.amazonaws.com",
        session="ecs-execution",
        source_arn=source,
    )
    task_role = cloud.assume(
        definition["taskRoleArn"], "ecs-tasks.amazonaws.com", session=identifier, source_arn=source
    )
    containers = []
    for described in definition["containerDefinitions"]:
        token = secrets.token_urlsafe(16)
        cloud.container_credentials[token] = task_role
        container = Container(
            name=described["name"],
            command=[*described.get("entryPoint", []), *described.get("command", [])],
            environment=_environment(cloud, described, execution_role),
            essential=described.get("essential", True),
            depends_on=[each["containerName"] for each in described.get("dependsOn", [])],
            stop_seconds=int(described.get("stopTimeout", 30)),
            credentials_token=token,
            ports=[int(mapping["containerPort"]) for mapping in described.get("portMappings", [])],
        )
        _map_volumes(container, described, volumes / service["serviceName"])
        containers.append(container)
    _read_health_path(cloud, service, containers)
    return containers


def _environment(
    cloud: Cloud, described: dict[str, Any], execution_role: TemporaryCredentials
) -> dict[str, str]:
    environment = {}
    for variable in described.get("environment", []):
        check_resolved(f"container {described['name']}", variable["name"], variable.get("value"))
        environment[variable["name"]] = variable["value"]
    for secret in described.get("secrets", []):
        source = secret["valueFrom"]
        check_resolved(f"container {described['name']}", secret["name"], source)
        try:
            environment[secret["name"]] = _secret_value(cloud, source, execution_role)
        except Exception as error:
            raise UnresolvedError(
                f"container {described['name']}: secret {secret['name']} from {source}: {error}"
            ) from error
    return environment


def check_resolved(owner: str, name: str, value: Any) -> None:
    """Raise UnresolvedError if a variable has no value, or one that refers only to a stand-in."""
    if not isinstance(value, str):
        raise UnresolvedError(f"{owner}: variable {name} did not resolve to text: {value!r}")
    if MARK in value:
        raise UnresolvedError(
            f"{owner}: variable {name} depends on a resource that is only a stand-in ({value}): "
            "give its type a provider in local/aws/cloudformation/providers.py"
        )


def _secret_value(cloud: Cloud, source: str, role: TemporaryCredentials) -> str:
    """Return a secret's value as ECS reads it: a Secrets Manager ARN, with a JSON key after the seventh colon,
    or an SSM parameter."""
    if ":secretsmanager:" not in source:
        name = source.split(":parameter", 1)[-1] if source.startswith("arn:") else source
        parameter = cloud.client("ssm", role=role).get_parameter(Name=name, WithDecryption=True)
        return str(parameter["Parameter"]["Value"])
    parts = source.split(":")
    value: str = cloud.client("secretsmanager", role=role).get_secret_value(SecretId=":".join(parts[:7]))[
        "SecretString"
    ]
    key = parts[7] if len(parts) > 7 else ""
    return str(json.loads(value)[key]) if key else value


def _map_volumes(container: Container, described: dict[str, Any], directory: Path) -> None:
    """Make the only change to an environment: move paths below a volume's mount point into build/, where
    we may write."""
    targets = {}
    for mount in described.get("mountPoints", []):
        target = directory / mount["sourceVolume"]
        target.mkdir(parents=True, exist_ok=True)
        targets[mount["containerPath"].rstrip("/")] = str(target)
    for name, value in container.environment.items():
        for mount_point, path in targets.items():
            if value == mount_point or value.startswith(f"{mount_point}/"):
                container.environment[name] = path + value.removeprefix(mount_point)
                break


def _read_health_path(cloud: Cloud, service: dict[str, Any], containers: list[Container]) -> None:
    by_name = {container.name: container for container in containers}
    for balancer in service.get("loadBalancers", []):
        groups = cloud.client("elbv2").describe_target_groups(TargetGroupArns=[balancer["targetGroupArn"]])
        by_name[balancer["containerName"]].health_path = groups["TargetGroups"][0]["HealthCheckPath"]


def _in_start_order(containers: list[Container]) -> list[Container]:
    ordered: list[Container] = []
    waiting = list(containers)
    while waiting:
        started = {container.name for container in ordered}
        ready = [container for container in waiting if set(container.depends_on) <= started]
        if not ready:
            raise UnresolvedError(
                f"containers depend on each other in a circle: {', '.join(each.name for each in waiting)}"
            )
        ordered += ready
        waiting = [container for container in waiting if container not in ready]
    return ordered
