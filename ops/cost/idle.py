"""The price of an idle month, by resource."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.cost.prices import Prices

Template = Mapping[str, Any]
Properties = Mapping[str, Any]

INSTANCE = re.compile(r"ml\.[a-z0-9]+\.[a-z0-9]+")
DAYS = 30.4
GIB = 1024
MINUTE = 60


@dataclass(frozen=True)
class Line:
    """One item of the cost, in USD per month or per thousand requests."""

    stack: str
    what: str
    usd: float


@dataclass(frozen=True)
class Idle:
    """Lines, resource types that have no price and are not known as free, and resource types known to be left
    unpriced."""

    lines: list[Line]
    unpriced: list[str]
    named: list[str]


def idle(templates: Mapping[str, Template], prices: Prices, *, editors: int = 0) -> Idle:
    """Return the monthly cost of the templates' resources. `editors` is the number of people who edit in
    Grafana.
    """
    lines: list[Line] = []
    unpriced: set[str] = set()
    named: set[str] = set()
    for stack, template in templates.items():
        for resource in template["Resources"].values():
            kind, properties = resource["Type"], resource.get("Properties", {})
            if kind == "AWS::Grafana::Workspace":
                lines.append(
                    Line(stack, f"Grafana, {editors} editors", editors * prices.of("grafana", "editor"))
                )
            elif pricer := PRICERS.get(kind):
                lines += (Line(stack, what, usd) for what, usd in pricer(properties, template, prices))
            elif kind in prices.unpriced:
                named.add(f"{kind}: {prices.unpriced[kind]}")
            elif kind not in prices.free and not kind.startswith("Custom::"):
                unpriced.add(kind)
    return Idle(lines, sorted(unpriced), sorted(named))


Priced = Iterator[tuple[str, float]]


def _key(_: Properties, __: Template, prices: Prices) -> Priced:
    yield "KMS key", prices.of("kms", "key")


def _secret(_: Properties, __: Template, prices: Prices) -> Priced:
    yield "secret", prices.of("secretsmanager", "secret")


def _alarm(properties: Properties, _: Template, prices: Prices) -> Priced:
    """Price each metric that an alarm watches: a formula reads several."""
    stats = [metric["MetricStat"] for metric in properties.get("Metrics", ()) if "MetricStat" in metric]
    periods = [int(stat["Period"]) for stat in stats] or [int(properties.get("Period", MINUTE))]
    usd = sum(
        prices.of("cloudwatch", "alarm" if period >= MINUTE else "alarm_high_resolution")
        for period in periods
    )
    yield "CloudWatch alarm" if len(periods) == 1 else f"CloudWatch alarm on {len(periods)} metrics", usd


def _scaling_policy(properties: Properties, _: Template, prices: Prices) -> Priced:
    if properties.get("PolicyType") == "TargetTrackingScaling":
        # Application Auto Scaling creates one alarm to scale out and one to scale in.
        yield "2 alarms of a scaling policy", 2 * prices.of("cloudwatch", "alarm")


def _cluster(properties: Properties, template: Template, prices: Prices) -> Priced:
    """Price Container Insights by the metrics of the cluster, its tasks and their containers."""
    level = next(
        (
            each["Value"]
            for each in properties.get("ClusterSettings", ())
            if each["Name"] == "containerInsights"
        ),
        "disabled",
    )
    if level == "disabled":
        return
    metrics = prices.of("container_insights", level, "cluster")
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ECS::Service":
            service = resource["Properties"]
            task = template["Resources"][service["TaskDefinition"]["Ref"]]["Properties"]
            of_a_task = prices.of("container_insights", level, "task")
            of_a_task += len(task["ContainerDefinitions"]) * prices.of(
                "container_insights", level, "container"
            )
            metrics += int(service["DesiredCount"]) * of_a_task
    usd = metrics * prices.of("container_insights", level, "metric")
    yield f"Container Insights ({level}), {metrics:g} metrics", usd


def _nat(_: Properties, __: Template, prices: Prices) -> Priced:
    yield "NAT gateway", prices.hourly("vpc", "nat_gateway") + prices.hourly("vpc", "public_ipv4")


def _endpoint(properties: Properties, _: Template, prices: Prices) -> Priced:
    if properties.get("VpcEndpointType") == "Interface":
        zones = len(properties.get("SubnetIds", ()))
        yield f"interface endpoint in {zones} zones", zones * prices.hourly("vpc", "endpoint")


def _load_balancer(properties: Properties, _: Template, prices: Prices) -> Priced:
    yield "load balancer", prices.hourly("elb", "load_balancer")
    if properties.get("Scheme") == "internet-facing":
        zones = len(properties["Subnets"])
        yield "its public addresses", zones * prices.hourly("vpc", "public_ipv4")


def _web_acl(properties: Properties, _: Template, prices: Prices) -> Priced:
    rules = len(properties.get("Rules", ()))
    yield f"web ACL with {rules} rules", prices.of("waf", "acl") + rules * prices.of("waf", "rule")


def _service(properties: Properties, template: Template, prices: Prices) -> Priced:
    task = template["Resources"][properties["TaskDefinition"]["Ref"]]["Properties"]
    tasks = int(properties["DesiredCount"])
    architecture = task["RuntimePlatform"]["CpuArchitecture"].lower()
    hour = int(task["Cpu"]) / GIB * prices.of("fargate", architecture, "vcpu")
    hour += int(task["Memory"]) / GIB * prices.of("fargate", architecture, "gib")
    yield f"Fargate, {tasks} tasks", tasks * prices.hours * hour
    if properties["NetworkConfiguration"]["AwsvpcConfiguration"].get("AssignPublicIp") == "ENABLED":
        yield "their public addresses", tasks * prices.hourly("vpc", "public_ipv4")
    samples = tasks * prices.request.series * prices.hours * 3600 / _metric_interval(task)
    yield "metrics to Managed Prometheus", samples / 1e6 * prices.of("aps", "million_samples")


def _metric_interval(task: Properties) -> float:
    variables = {
        variable["Name"]: variable["Value"]
        for container in task["ContainerDefinitions"]
        for variable in container.get("Environment", ())
    }
    return float(variables["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000


def _schedule(properties: Properties, template: Template, prices: Prices) -> Priced:
    """Price a daily job: the machine that its state machine starts, and the transitions. A function that is called
    once a day costs nothing worth a line."""
    arn = properties["Target"]["Arn"]
    target = arn.get("Ref") or arn["Fn::GetAtt"][0]
    if template["Resources"][target]["Type"] == "AWS::Lambda::Function":
        return
    instance = next(iter(INSTANCE.findall(json.dumps(template))), None)
    if instance:
        hours = DAYS * prices.of("jobs", "minutes") / 60
        yield f"daily job on {instance}", hours * prices.of("sagemaker", instance)
    transitions = DAYS * prices.of("jobs", "transitions")
    yield "its state machine", transitions / 1000 * prices.of("states", "thousand_transitions")


def _event_source(_: Properties, __: Template, prices: Prices) -> Priced:
    """Price Lambda's polls of a queue, also of an empty one (Lambda Developer Guide, "Using Lambda with Amazon
    SQS")."""
    polls = prices.of("sqs", "poll_requests")
    yield "polls of a queue", polls / 1e6 * prices.of("sqs", "million_requests")


def _tracking_server(properties: Properties, _: Template, prices: Prices) -> Priced:
    size = properties.get("TrackingServerSize", "Small")
    yield f"MLflow tracking server, {size}", prices.hourly("mlflow_server", size)


PRICERS: Mapping[str, Callable[[Properties, Template, Prices], Priced]] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::EC2::NatGateway": _nat,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ECS::Cluster": _cluster,
    "AWS::ECS::Service": _service,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::EventSourceMapping": _event_source,
    "AWS::SageMaker::MlflowTrackingServer": _tracking_server,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::WAFv2::WebACL": _web_acl,
}
