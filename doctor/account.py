"""The account: who you are, its bootstrap, its quotas."""

from __future__ import annotations

from collections.abc import Iterator

import botocore.session
from botocore.exceptions import ClientError

from doctor.finding import Finding, Patient, check
from settings import Settings

BOOTSTRAP = 6
"""The bootstrap version that the templates' rule asks for at least."""
FARGATE_UNITS = 1024

# Quotas that stop a deployment: service, code, name.
VPCS = ("vpc", "L-F678F1CE", "VPCs per region")
ADDRESSES = ("ec2", "L-0263D0A3", "Elastic IP addresses")
FARGATE = ("fargate", "L-3032A538", "Fargate vCPUs, what runs already not counted")


@check("who you are")
def identity(patient: Patient) -> Iterator[Finding]:
    account = patient.client("sts").get_caller_identity()["Account"]
    wanted = patient.settings.account
    if wanted and wanted != account:
        yield Finding(
            "stop",
            f"your credentials are of account {account}, the profile's account is {wanted}",
            "use that account's credentials, or change account in cdk.json",
        )
    else:
        yield Finding("ok", f"account {account}, region {patient.region}")


@check("the services of the region")
def services(patient: Patient) -> Iterator[Finding]:
    session = botocore.session.get_session()
    for service in sorted(_services(patient.settings)):
        regions = session.get_available_regions(service)
        # botocore does not list the regions of the newest services: an empty list says nothing.
        if regions and patient.region not in regions:
            yield Finding(
                "warning",
                f"botocore does not know {service} in {patient.region}",
                f"look whether it is there by now; it is in {', '.join(regions[:4])} ...",
            )
    yield Finding("ok", f"services asked for: {', '.join(sorted(_services(patient.settings)))}")


def _services(settings: Settings) -> set[str]:
    needed = {
        "bedrock",
        "verifiedpermissions",
        "comprehend",
        "firehose",
        "sagemaker",
        "amp",
        "xray",
        "stepfunctions",
    }
    needed |= {"grafana"} if settings.observability.grafana else set()
    needed |= {"emr-serverless"} if settings.analysis.engine != "embedded" else set()
    return needed


@check("the CDK's bootstrap")
def bootstrap(patient: Patient) -> Iterator[Finding]:
    name = f"/cdk-bootstrap/{patient.settings.bootstrap_qualifier}/version"
    try:
        version = int(patient.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        yield Finding(
            "stop", f"the account is not bootstrapped in {patient.region} ({name})", "make bootstrap"
        )
        return
    if version < BOOTSTRAP:
        yield Finding(
            "stop", f"the bootstrap is of version {version}, {BOOTSTRAP} is needed", "make bootstrap"
        )
    else:
        yield Finding("ok", f"CDK bootstrap of version {version}")


@check("the quota of VPCs")
def vpcs(patient: Patient) -> Iterator[Finding]:
    if patient.settings.network.mode == "new":
        used = len(patient.client("ec2").describe_vpcs()["Vpcs"])
        yield _room(patient, VPCS, used, 1)


@check("the quota of Elastic IP addresses")
def addresses(patient: Patient) -> Iterator[Finding]:
    network = patient.settings.network
    if network.mode == "new" and network.egress == "nat":
        used = len(patient.client("ec2").describe_addresses()["Addresses"])
        yield _room(patient, ADDRESSES, used, network.zones)


@check("the quota of Fargate")
def fargate(patient: Patient) -> Iterator[Finding]:
    options = patient.settings.assistant
    if options.compute == "ecs":
        yield _room(patient, FARGATE, 0, options.max_tasks * options.cpu / FARGATE_UNITS)


def _room(patient: Patient, quota: tuple[str, str, str], used: float, needed: float) -> Finding:
    service, code, name = quota
    answer = patient.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
    limit = answer["Quota"]["Value"]
    if used + needed > limit:
        return Finding(
            "stop",
            f"{name}: {used:g} of {limit:g} are used, and {needed:g} more are needed",
            f"ask for more in Service Quotas ({service}, {code}), or free some",
        )
    return Finding("ok", f"{name}: {used:g} used, {needed:g} needed, {limit:g} allowed")
