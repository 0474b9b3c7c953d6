"""Checks of the region: whether it exists, whether the account may use it, and whether it has the templates'
services."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session

from ops.doctor.finding import Finding, Target, check
from stacks import availability

CLIENTS = {
    "applicationautoscaling": "application-autoscaling",
    "aps": "amp",
    "certificatemanager": "acm",
    "codestarconnections": "codestar-connections",
    "cognito": "cognito-idp",
    "elasticloadbalancingv2": "elbv2",
    "emrserverless": "emr-serverless",
    "kinesisfirehose": "firehose",
    "states": "stepfunctions",
    "tag": "resourcegroupstaggingapi",
}
"""botocore's names of services that CloudFormation's types or IAM's actions name differently."""
NO_SERVICE = {"cdk", "execute-api"}
"""Names in the place of a service that are not AWS services: a type without one, and actions of our own API.
"""
NO_FARGATE = {
    "use1-az3": {"arm64"},
    "usw1-az2": {"arm64", "x86_64"},
    "apne1-az3": {"arm64", "x86_64"},
}
"""Architectures that Fargate does not run, by zone id.

From ECS's guide: "Supported Regions for Amazon ECS on AWS Fargate", and "Task definitions for 64-bit ARM
workloads". A name such as us-east-1a means another zone in each account.
"""
TYPE = re.compile(r"AWS::(\w+)::\w+")
ACTION = re.compile(r"([a-z][a-z0-9-]+):[A-Z*]\w*\*?")


@check("the region")
def region(target: Target) -> Iterator[Finding]:
    known = _regions("ec2")
    if target.region not in known:
        close = difflib.get_close_matches(target.region, known, 1)
        yield Finding(
            "stop",
            f"there is no region {target.region}",
            f"set region in cdk.json, or AWS_REGION, to one that is there{f', such as {close[0]}' if close else ''}",
        )
        return
    asked = target.client("ec2").describe_regions(RegionNames=[target.region], AllRegions=True)
    if asked["Regions"][0]["OptInStatus"] == "not-opted-in":
        yield Finding(
            "stop",
            f"{target.region} is not enabled in this account",
            f"aws account enable-region --region-name {target.region}, or set another region",
        )
        return
    yield Finding("ok", f"region {target.region}")


@check("the resource types of the region")
def resource_types(target: Target) -> Iterator[Finding]:
    """Find the resource types of the templates that CloudFormation does not have in the region."""
    types = {
        resource["Type"]
        for template in target.templates().values()
        for resource in template["Resources"].values()
    }
    for name in availability.lacking(types, target.region):
        yield Finding(
            "stop",
            f"{target.region} has no {name}, which the templates make",
            availability.remedy(types, name, target.region),
        )


@check("the zones of the tasks")
def zones(target: Target) -> Iterator[Finding]:
    """Find zones of the tasks' subnets in which Fargate does not start them."""
    options, network = target.settings.assistant, target.settings.network
    if options.compute != "ecs":
        return
    there = {
        zone["ZoneName"]: zone["ZoneId"]
        for zone in target.client("ec2").describe_availability_zones()["AvailabilityZones"]
    }
    # Chosen as CDK does for a new VPC.
    names = network.vpc.zones if network.vpc else sorted(there)[: network.zones]
    for name in names:
        if options.architecture in NO_FARGATE.get(there.get(name, ""), ()):
            x86 = "set assistant.architecture to x86_64, or " if options.architecture == "arm64" else ""
            yield Finding(
                "stop",
                f"{name} is {there[name]} in this account, where Fargate starts no tasks of {options.architecture}",
                f"{'' if 'x86_64' in NO_FARGATE[there[name]] else x86}import a VPC whose subnets are "
                "in other zones (network.mode)",
            )


@check("the services of the region")
def services(target: Target) -> Iterator[Finding]:
    needed = services_of(target.templates())
    for service in sorted(needed):
        # botocore does not list the regions of the newest services, so an empty list says nothing.
        if (regions := _regions(service)) and target.region not in regions:
            yield Finding(
                "warning",
                f"botocore does not know {service} in {target.region}",
                f"check whether it is available by now; it is in {', '.join(regions[:4])} ...",
            )
    yield Finding("ok", f"{len(needed)} services in the templates: {', '.join(sorted(needed))}")


def services_of(templates: Mapping[str, Any]) -> set[str]:
    """Return botocore's names of the services whose resources the templates create, or that their roles
    call.
    """
    found = set()
    for template in templates.values():
        for resource in template["Resources"].values():
            if named := TYPE.fullmatch(resource["Type"]):
                found.add(named[1].lower())
            found |= {action[1] for text in _actions(resource) if (action := ACTION.fullmatch(text))}
    return {CLIENTS.get(name, name) for name in found - NO_SERVICE}


def _actions(node: Any) -> Iterator[str]:
    """Yield the values of the key ``Action`` of each policy."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Action":
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _actions(value)
    elif isinstance(node, list):
        for each in node:
            yield from _actions(each)


def _regions(service: str) -> list[str]:
    session = botocore.session.get_session()
    return [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions(service, partition_name=partition)
    ]
