"""Quotas that stop a deployment, or keep it from answering. What this environment already has does not count
against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import settings
from ops.doctor.features import GEOGRAPHIES, model_behind
from ops.doctor.finding import Finding, Target, check

FARGATE_UNITS = 1024
USED_WITHIN = timedelta(minutes=30)
"""Maximum age of the last measure of a quota's use."""
FEW_TOKENS = 50_000
"""Tokens per minute below which about ten simultaneous users are throttled: a question takes about 5,000,
documents included."""

# Each quota's service, code and name.
VPCS = ("vpc", "L-F678F1CE", "VPCs per region")
ADDRESSES = ("ec2", "L-0263D0A3", "Elastic IP addresses")
GATEWAYS = ("vpc", "L-FE5A380F", "NAT gateways per zone")
FARGATE = ("fargate", "L-3032A538", "Fargate vCPUs")
TOKENS = "tokens per minute"
LAMBDA = ("lambda", "L-B99A9384", "concurrent executions of Lambda")
UNRESERVED = 100
"""Concurrency that Lambda leaves to functions without a reservation."""
SPARK = "Max concurrent vCPUs per account"
SPARK_LEAST = 8
"""Minimum vCPUs of a Spark job: a driver and one executor."""
PROCESSING = "for processing job usage"


@check("the quota of VPCs")
def vpcs(target: Target) -> Iterator[Finding]:
    if target.settings.network.mode == "new":
        there = {vpc["VpcId"] for vpc in target.client("ec2").describe_vpcs()["Vpcs"]}
        yield _room(target, VPCS, len(there - target.own("Foundation", "AWS::EC2::VPC")), 1)


@check("the quota of Elastic IP addresses")
def addresses(target: Target) -> Iterator[Finding]:
    if zones := _nat_zones(target):
        # CloudFormation's id of an address is the address itself.
        there = {each["PublicIp"] for each in target.client("ec2").describe_addresses()["Addresses"]}
        others = there - {each.split("|")[0] for each in target.own("Foundation", "AWS::EC2::EIP")}
        yield _room(target, ADDRESSES, len(others), zones)


@check("the quota of NAT gateways")
def gateways(target: Target) -> Iterator[Finding]:
    if not (zones := _nat_zones(target)):
        return
    ec2, own = target.client("ec2"), target.own("Foundation", "AWS::EC2::NatGateway")
    pages = ec2.get_paginator("describe_nat_gateways").paginate(
        Filter=[{"Name": "state", "Values": ["pending", "available", "deleting"]}]
    )
    gateways = [each for page in pages for each in page["NatGateways"] if each["NatGatewayId"] not in own]
    subnets = {each["SubnetId"]: each["AvailabilityZone"] for each in ec2.describe_subnets()["Subnets"]}
    names = sorted(zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"])
    used = Counter(subnets.get(each["SubnetId"], "") for each in gateways)
    yield _room(target, GATEWAYS, max(used[name] for name in names[:zones]), 1)


def _nat_zones(target: Target) -> int:
    network = target.settings.network
    return network.zones if network.mode == "new" and network.egress == "nat" else 0


@check("the quota of Fargate")
def fargate(target: Target) -> Iterator[Finding]:
    options = target.settings.assistant
    if options.compute != "ecs":
        return
    quota = _quota(target, FARGATE)
    used = max(0.0, _in_use(target, quota) - _own_vcpus(target))
    yield _room(target, FARGATE, used, options.max_tasks * options.cpu / FARGATE_UNITS)


def _own_vcpus(target: Target) -> float:
    """Return the vCPUs of this environment's running tasks."""
    ecs = target.client("ecs")
    clusters, services = (target.own("Assistant", f"AWS::ECS::{kind}") for kind in ("Cluster", "Service"))
    if not clusters or not services:
        return 0.0
    found = ecs.describe_services(cluster=next(iter(clusters)), services=sorted(services))["services"]
    sizes = [
        (
            each["runningCount"],
            ecs.describe_task_definition(taskDefinition=each["taskDefinition"])["taskDefinition"],
        )
        for each in found
    ]
    return sum(float(count) * int(task["cpu"]) / FARGATE_UNITS for count, task in sizes)


def _in_use(target: Target, quota: Mapping[str, Any]) -> float:
    """Return the use of a quota: the last measure of the usage metric that Service Quotas names for it, or 0
    without one."""
    metric = quota.get("UsageMetric", {})
    if "MetricName" not in metric:
        return 0.0
    now = datetime.now(UTC)
    points = target.client("cloudwatch").get_metric_statistics(
        Namespace=metric["MetricNamespace"],
        MetricName=metric["MetricName"],
        Dimensions=[{"Name": name, "Value": value} for name, value in metric["MetricDimensions"].items()],
        StartTime=now - USED_WITHIN,
        EndTime=now + timedelta(minutes=1),  # the end is excluded, and cut to the second
        Period=300,
        Statistics=["Maximum"],
    )["Datapoints"]
    return float(max(points, key=lambda point: point["Timestamp"])["Maximum"]) if points else 0.0


@check("the quota of the chat model")
def tokens(target: Target) -> Iterator[Finding]:
    model_id = target.settings.assistant.model_id
    name = _model_name(target, model_id)
    found = [each for each in _quotas(target, "bedrock") if _is_of(each["QuotaName"], model_id, name)]
    if not found:
        yield Finding(
            "warning",
            f"Service Quotas lists no {TOKENS} for {name} ({model_id})",
            "look in Service Quotas under Amazon Bedrock; where it is 0, no one gets an answer",
        )
        return
    least = min(found, key=lambda each: float(each["Value"]))
    said = f"{least['QuotaName']}: {least['Value']:,.0f}"
    remedy = (
        f"ask for more in Service Quotas (bedrock, {least['QuotaCode']}), or by a support case where it is "
        "not adjustable"
    )
    if least["Value"] <= 0:
        yield Finding("stop", said, remedy)
    elif least["Value"] < FEW_TOKENS:
        yield Finding("warning", f"{said}, which is too few for more than a few people at once", remedy)
    else:
        yield Finding("ok", said)


def _model_name(target: Target, model_id: str) -> str:
    """Return what quotas call a model, such as Claude Haiku 4.5."""
    behind = model_behind(target, model_id)
    found = target.client("bedrock").get_foundation_model(modelIdentifier=behind)
    return str(found["modelDetails"]["modelName"])


def _is_of(quota: str, model_id: str, name: str) -> bool:
    """Return whether a quota counts a model's tokens when called as its id says: in the region, across regions,
    or across all."""
    across = "cross-region" if model_id.startswith(GEOGRAPHIES) else "on-demand"
    kind = "global cross-region" if model_id.startswith("global.") else across
    said, wanted = quota.casefold(), name.casefold()
    # "Claude 3.5 Sonnet" must not match "Claude 3.5 Sonnet V2".
    return said.startswith(kind) and TOKENS in said and said.removesuffix(" v1").endswith(f" {wanted}")


@check("the quotas of the jobs' machines")
def machines(target: Target) -> Iterator[Finding]:
    """Find machines that an account may not start: a new account's quota is 0 for most types."""
    wanted: dict[str, list[str]] = {}
    for setting, instance_type in settings.named(target.settings, settings.InstanceType):
        wanted.setdefault(f"{instance_type} {PROCESSING}", []).append(setting)
    if not wanted:
        return
    found = {each["QuotaName"]: each for each in _quotas(target, "sagemaker") if each["QuotaName"] in wanted}
    for name, where in wanted.items():
        said = f"{', '.join(where)}: {name}"
        if name not in found:
            yield Finding(
                "warning",
                f"{said} is not listed by Service Quotas",
                "look in Service Quotas under Amazon SageMaker; where it is 0, no job runs",
            )
        elif found[name]["Value"] < 1:
            yield Finding(
                "stop",
                f"{said} is {found[name]['Value']:g}, so that no job can run",
                f"{_increase(target, found[name], len(where))}, or set another type",
            )
        else:
            yield Finding("ok", f"{said} is {found[name]['Value']:g}")


@check("the quota of Spark's vCPUs")
def spark(target: Target) -> Iterator[Finding]:
    options = target.settings.analysis
    if options.engine == "embedded":
        return
    found = [each for each in _quotas(target, "emr-serverless") if each["QuotaName"] == SPARK]
    if not found:
        yield Finding("warning", f"Service Quotas lists no {SPARK}", "look there under EMR Serverless")
        return
    (quota,) = found
    said = f"EMR Serverless, {SPARK}: {quota['Value']:g}, and analysis.spark_max_vcpus is {options.spark_max_vcpus}"
    if quota["Value"] < options.spark_max_vcpus:
        remedy = f"{_increase(target, quota, options.spark_max_vcpus)}, or lower analysis.spark_max_vcpus"
        yield Finding("stop" if quota["Value"] < SPARK_LEAST else "warning", said, remedy)
    else:
        yield Finding("ok", said)


@check("the quota of Lambda")
def concurrency(target: Target) -> Iterator[Finding]:
    """Find an account whose quota is too small to reserve from: a new account's is 10."""
    wanted = target.settings.assistant.concurrency
    if wanted is None:
        return
    quota = _quota(target, LAMBDA)
    said = f"{LAMBDA[2]}: {quota['Value']:g}, of which assistant.concurrency reserves {wanted}"
    if quota["Value"] < wanted + UNRESERVED:
        remedy = f"{_increase(target, quota, wanted + UNRESERVED)}, or leave assistant.concurrency out"
        yield Finding("stop", f"{said}; {UNRESERVED} must be left", remedy)
    else:
        yield Finding("ok", said)


def _increase(target: Target, quota: Mapping[str, Any], value: int) -> str:
    """Return the command that asks AWS for a larger quota."""
    return (
        f"aws service-quotas request-service-quota-increase --region {target.region} --service-code "
        f"{quota['ServiceCode']} --quota-code {quota['QuotaCode']} --desired-value {value}"
    )


def _quotas(target: Target, service: str) -> Iterator[dict[str, Any]]:
    pages = target.client("service-quotas").get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode=service):
        yield from page["Quotas"]


def _quota(target: Target, quota: tuple[str, str, str]) -> dict[str, Any]:
    service, code, _ = quota
    asked = target.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
    answer: dict[str, Any] = asked["Quota"]
    return answer


def _room(target: Target, quota: tuple[str, str, str], used: float, needed: float) -> Finding:
    service, code, name = quota
    limit = _quota(target, quota)["Value"]
    if used + needed > limit:
        return Finding(
            "stop",
            f"{name}: others use {used:g} of {limit:g}, and this environment needs {needed:g}",
            f"ask for more in Service Quotas ({service}, {code}), or free some",
        )
    return Finding("ok", f"{name}: others use {used:g}, {needed:g} needed, {limit:g} allowed")
