"""Each fault of an account gives its line and its remedy; a check that cannot be made is never ok. The local
AWS is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.ssoadmin.models import ssoadmin_backends

import settings
from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock.catalog import Catalog
from local.aws.services.servicequotas import FARGATE_USE, Quotas
from ops.doctor import account, features, machine, quotas, region, sign_in
from ops.doctor.__main__ import examine, main
from ops.doctor.finding import Finding, Target


@pytest.fixture
def target(cloud: Cloud) -> Callable[..., Target]:
    """Return a function that makes a target of the local AWS, with changed settings and with answers
    that replace services'."""

    def make(answers: dict[str, Any] | None = None, *, probe: bool = False, **changes: Any) -> Target:
        context = settings.read_context()
        context["fmops"]["examined"] = changes
        profile = settings.load({**context, "profile": "examined"})
        given = answers or {}
        return Target(profile, cloud.region, lambda name: given.get(name) or cloud.client(name), probe)

    return make


class Answers:
    """A service that answers by operation; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answer = self._answers[name]

        def call(*_: Any, **__: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


def one(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_another_account_stops(target: Callable[..., Target]) -> None:
    assert one(account.identity(target())).level == "ok"
    found = one(account.identity(target(account="999999999999")))
    assert (found.level, "account in cdk.json" in found.remedy) == ("stop", True)


def test_the_bootstrap_must_be_there_and_new_enough(cloud: Cloud, target: Callable[..., Target]) -> None:
    examined = target(bootstrap_qualifier="qual")
    found = one(account.bootstrap(examined))
    assert (found.level, found.remedy) == ("stop", "make bootstrap")
    for version, level in (("5", "stop"), ("29", "ok")):
        cloud.client("ssm").put_parameter(
            Name="/cdk-bootstrap/qual/version", Value=version, Type="String", Overwrite=True
        )
        assert one(account.bootstrap(examined)).level == level


def make_stack(cloud: Cloud, name: str, **resources: dict[str, Any]) -> Iterator[None]:
    """Create the environment's own stack, as after its first deployment."""
    client = cloud.client("cloudformation")
    client.create_stack(StackName=f"fmops-examined-{name}", TemplateBody=json.dumps({"Resources": resources}))
    yield
    client.delete_stack(StackName=f"fmops-examined-{name}")


@pytest.fixture
def deployed(cloud: Cloud) -> Iterator[None]:
    """Create a VPC, an address and a NAT gateway that are the environment's own."""
    yield from make_stack(
        cloud,
        "Foundation",
        Vpc={"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        Subnet={
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": "10.0.0.0/24",
                "AvailabilityZone": "us-east-1a",
            },
        },
        Address={"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc"}},
        Gateway={
            "Type": "AWS::EC2::NatGateway",
            "Properties": {
                "SubnetId": {"Ref": "Subnet"},
                "AllocationId": {"Fn::GetAtt": ["Address", "AllocationId"]},
            },
        },
    )


@pytest.fixture
def limits(cloud: Cloud) -> Iterator[dict[tuple[str, str], float]]:
    """Yield the account's quotas, which tests may change."""
    values = cloud.state(Quotas).values
    before = dict(values)
    yield values
    values.update(before)


NAT = {"network": {"egress": "nat", "zones": 2}}


def test_a_full_quota_of_the_network_stops(
    cloud: Cloud, target: Callable[..., Target], limits: dict[tuple[str, str], float]
) -> None:
    ec2 = cloud.client("ec2")
    others = len(ec2.describe_vpcs()["Vpcs"])
    subnet = ec2.describe_subnets()["Subnets"][0]
    address = ec2.allocate_address(Domain="vpc")
    gateway = ec2.create_nat_gateway(SubnetId=subnet["SubnetId"], AllocationId=address["AllocationId"])
    for check, quota, enough in (
        (quotas.vpcs, quotas.VPCS, others + 1),
        (quotas.addresses, quotas.ADDRESSES, 3),
        (quotas.gateways, quotas.GATEWAYS, 2),
    ):
        limits[quota[:2]] = enough
        assert one(check(target(**NAT))).level == "ok"
        limits[quota[:2]] = enough - 1
        found = one(check(target(**NAT)))
        assert found.level == "stop", found
        assert f"Service Quotas ({quota[0]}, {quota[1]})" in found.remedy
    ec2.delete_nat_gateway(NatGatewayId=gateway["NatGateway"]["NatGatewayId"])
    ec2.release_address(AllocationId=address["AllocationId"])
    assert list(quotas.addresses(target(network={"egress": "public"}))) == []


@pytest.mark.usefixtures("deployed")
def test_what_a_redeployment_has_already_does_not_count_against_it(
    cloud: Cloud, target: Callable[..., Target], limits: dict[tuple[str, str], float]
) -> None:
    others = len(cloud.client("ec2").describe_vpcs()["Vpcs"]) - 1
    limits.update({quotas.VPCS[:2]: others + 1, quotas.ADDRESSES[:2]: 2, quotas.GATEWAYS[:2]: 1})
    for check in (quotas.vpcs, quotas.addresses, quotas.gateways):
        assert one(check(target(**NAT))).level == "ok"
        assert one(check(replace(target(**NAT), settings=somebody_else(target)))).level == "stop"


def somebody_else(target: Callable[..., Target]) -> settings.Settings:
    """Return the same settings for an environment that has no stacks yet."""
    examined: settings.Settings = target(**NAT).settings
    return examined.model_copy(update={"prefix": "other"})


def test_fargate_counts_what_runs_but_not_the_environments_own(
    cloud: Cloud, target: Callable[..., Target], limits: dict[tuple[str, str], float]
) -> None:
    large = {"assistant": {"cpu": 1024, "memory_mib": 2048, "min_tasks": 1, "max_tasks": 4}}
    assert one(quotas.fargate(target(**large))).level == "ok"
    dimensions = [
        {"Name": name, "Value": value}
        for name, value in FARGATE_USE["MetricDimensions"].items()  # type: ignore[attr-defined]
    ]
    cloud.client("cloudwatch").put_metric_data(
        Namespace="AWS/Usage",
        MetricData=[{"MetricName": "ResourceCount", "Dimensions": dimensions, "Value": 3.0}],
    )
    found = one(quotas.fargate(target(**large)))
    assert (found.level, found.what) == (
        "stop",
        "Fargate vCPUs: others use 3 of 6, and this environment needs 4",
    )
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="own")
    task = ecs.register_task_definition(
        family="own", cpu="2048", memory="4096", containerDefinitions=[{"name": "a", "image": "a"}]
    )["taskDefinition"]["taskDefinitionArn"]
    running = {"services": [{"runningCount": 1, "taskDefinition": task}]}
    # Tasks do not run in moto's ECS, so the answer claims that one does.
    own = {
        "describe_services": running,
        "describe_task_definition": ecs.describe_task_definition(taskDefinition=task),
    }
    redeployed = target({"ecs": Answers(**own)}, **large)
    for _ in make_stack(
        cloud,
        "Assistant",
        Cluster={"Type": "AWS::ECS::Cluster", "Properties": {}},
        Service={
            "Type": "AWS::ECS::Service",
            "Properties": {"Cluster": {"Ref": "Cluster"}, "TaskDefinition": task, "DesiredCount": 1},
        },
    ):
        assert "others use 1," in one(quotas.fargate(redeployed)).what


def test_the_tokens_of_the_chat_model_are_looked_up_by_its_name(
    target: Callable[..., Target], limits: dict[tuple[str, str], float]
) -> None:
    quota = ("bedrock", "L-LOCAL001")
    for value, level in ((1_000_000.0, "ok"), (10_000.0, "warning"), (0.0, "stop")):
        limits[quota] = value
        found = one(quotas.tokens(target()))
        assert (found.level, f"{value:,.0f}" in found.what) == (level, True)
    everywhere = {"model_id": "global.anthropic.claude-haiku-4-5-20251001-v1:0"}
    found = one(quotas.tokens(target(assistant=everywhere)))
    assert found == Finding(
        "ok",
        "Global cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5: 1,000,000",
    )
    unknown = one(quotas.tokens(target(assistant={"model_id": "amazon.nova-2-lite-v1:0"})))
    assert (unknown.level, "Amazon Bedrock" in unknown.remedy) == ("warning", True)


NAMED = {
    "assistant": {
        "model_id": "us.made.chat-v1:0",
        "embedding_model_id": "made.embed-v1",
        "playground_models": ["made.play-v1", "eu.made.other-v1"],
    },
    "evaluation": {"judge_model_id": "global.made.judge-v1"},
    "review": {"judges": ["made.first-v1", "apac.anthropic.second-v1:0"]},
    "analysis": {"description_model_id": "made.description-v1"},
}
LACKS = {
    "withdrawn": ("is not in us-east-1", "set one that is"),
    "legacy": ("is a legacy model, which is refused to new customers", "set another model"),
    "without_agreement": (
        "has no Marketplace agreement with this account",
        "aws bedrock create-foundation-model-agreement",
    ),
    "unauthorized": ("is not authorized for this account", "your organization's policies"),
}


@pytest.fixture
def catalog(cloud: Cloud) -> Iterator[Catalog]:
    """Yield Bedrock's catalog, and restore all its models afterwards."""
    yield cloud.state(Catalog)
    for lacking in LACKS:
        getattr(cloud.state(Catalog), lacking).clear()


@pytest.mark.parametrize("lacking", LACKS)
def test_each_model_of_a_setting_that_the_account_cannot_call_stops(
    catalog: Catalog, target: Callable[..., Target], lacking: str
) -> None:
    examined = target(**NAMED)
    named = list(settings.named(examined.settings, settings.ModelId))
    assert {setting for setting, _ in named} == {
        f"{section}.{setting}" for section, values in NAMED.items() for setting in values
    }
    assert [found.level for found in features.models(examined)] == ["ok"] * 8
    what, remedy = LACKS[lacking]
    for setting, model_id in named:
        behind = model_id.partition(".")[2] if model_id.startswith(features.GEOGRAPHIES) else model_id
        getattr(catalog, lacking).add(behind)
        (stop,) = [found for found in features.models(examined) if found.level != "ok"]
        getattr(catalog, lacking).clear()
        assert (stop.level, stop.what.startswith(f"{setting}: {model_id} {what}")) == ("stop", True), stop
        assert remedy in stop.remedy
        assert ("put-use-case-for-model-access" in stop.remedy) == (
            "anthropic" in model_id and lacking in ("without_agreement", "unauthorized")
        )
        if lacking == "without_agreement":
            assert f"--region us-east-1 --model-id {behind} --offer-token" in stop.remedy


def test_a_profile_that_is_not_in_the_region_stops(catalog: Catalog, target: Callable[..., Target]) -> None:
    catalog.withdrawn.add("us.made.chat-v1:0")
    assert [found.level for found in features.models(target(**NAMED))].count("stop") == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"agreementAvailability": {"status": "PENDING"}}, "waits for its Marketplace agreement"),
        ({"agreementAvailability": {"status": "ERROR", "errorMessage": "No card."}}, "account: No card."),
        ({"regionAvailability": "NOT_AVAILABLE"}, "is not offered to this account in us-east-1"),
        ({"entitlementAvailability": "NOT_AVAILABLE"}, "is not entitled to it yet"),
    ],
)
def test_what_bedrock_says_of_a_model_is_said(
    cloud: Cloud, target: Callable[..., Target], changes: dict[str, Any], what: str
) -> None:
    bedrock = cloud.client("bedrock")
    usual = bedrock.get_foundation_model_availability(modelId="made.chat-v1")
    told = Answers(
        get_inference_profile={"models": [{"modelArn": "arn:aws:bedrock:::foundation-model/made.chat-v1"}]},
        get_foundation_model=bedrock.get_foundation_model(modelIdentifier="made.chat-v1"),
        get_foundation_model_availability={**usual, **changes},
    )
    for found in features.models(target({"bedrock": told})):
        assert (found.level, what in found.what, bool(found.remedy)) == ("stop", True, True)


def test_what_may_not_be_asked_of_models_is_a_warning(target: Callable[..., Target]) -> None:
    denied = Answers(
        get_foundation_model=error("AccessDeniedException"), get_inference_profile={"models": []}
    )
    changes = {"assistant": {"model_id": "made.chat-v1"}}
    assert one(features.models(target({"bedrock": denied}, **changes))).level == "warning"


def test_a_model_without_an_agreement_does_not_answer(
    cloud: Cloud, catalog: Catalog, target: Callable[..., Target]
) -> None:
    examined = target(probe=True)
    assert one(features.access(examined)).level == "ok"
    catalog.without_agreement.add(examined.settings.assistant.model_id.partition(".")[2])
    assert one(features.access(examined)).remedy == features.ACCESS
    catalog.without_agreement.add("amazon.titan-embed-text-v2:0")
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("bedrock-runtime").invoke_model(
            modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "Hi"})
        )


PROCESSING = ("sagemaker", "L-LOCAL003")


@pytest.mark.parametrize(("value", "level"), [(4.0, "ok"), (1.0, "ok"), (0.0, "stop")])
def test_an_account_that_may_not_start_the_jobs_machines_stops(
    target: Callable[..., Target], limits: dict[tuple[str, str], float], value: float, level: str
) -> None:
    limits[PROCESSING] = value
    found = one(quotas.machines(target()))
    said = f"review.instance_type, analysis.instance_type: ml.m5.large for processing job usage is {value:g}"
    assert (found.level, found.what.startswith(said)) == (level, True), found
    assert (
        "aws service-quotas request-service-quota-increase --region us-east-1 --service-code sagemaker"
        " --quota-code L-LOCAL003 --desired-value 2" in found.remedy
    ) == (level == "stop")


def test_each_type_of_machine_has_its_own_quota(
    target: Callable[..., Target], limits: dict[tuple[str, str], float]
) -> None:
    limits[PROCESSING] = 0
    review, analysis = quotas.machines(target(analysis={"instance_type": "ml.c5.xlarge"}))
    assert (review.level, review.what.startswith("review.instance_type: ml.m5.large")) == ("stop", True)
    assert (analysis.level, "ml.c5.xlarge" in analysis.what) == ("warning", True)


@pytest.mark.parametrize(("value", "level"), [(64.0, "ok"), (16.0, "warning"), (0.0, "stop")])
def test_spark_needs_its_vcpus(
    target: Callable[..., Target], limits: dict[tuple[str, str], float], value: float, level: str
) -> None:
    limits["emr-serverless", "L-LOCAL004"] = value
    found = one(quotas.spark(target(analysis={"engine": "auto"})))
    assert (found.level, f"vCPUs per account: {value:g}," in found.what) == (level, True)
    assert ("--service-code emr-serverless" in found.remedy) == (level != "ok")
    assert list(quotas.spark(target())) == []


@pytest.mark.parametrize(("value", "level"), [(1000.0, "ok"), (120.0, "ok"), (119.0, "stop"), (10.0, "stop")])
def test_a_new_accounts_lambda_quota_is_too_small_to_reserve_from(
    target: Callable[..., Target], limits: dict[tuple[str, str], float], value: float, level: str
) -> None:
    limits["lambda", "L-B99A9384"] = value
    assistant = {
        "compute": "lambda",
        "memory_mib": 2048,
        "ingress_cidrs": ["203.0.113.0/24"],
        "concurrency": 20,
    }
    found = one(quotas.concurrency(target(assistant=assistant, network={"mode": "none"})))
    assert (found.level, "--desired-value 120" in found.remedy) == (level, level == "stop")
    assert list(quotas.concurrency(target())) == []


def test_zones_where_fargate_does_not_start_the_tasks_stop(target: Callable[..., Target]) -> None:
    def of(*ids: str) -> Answers:
        zones = [
            {"ZoneName": f"us-east-1{letter}", "ZoneId": id_} for letter, id_ in zip("abc", ids, strict=True)
        ]
        return Answers(describe_availability_zones={"AvailabilityZones": zones})

    without = {"ec2": of("use1-az1", "use1-az3", "use1-az2")}
    found = one(region.zones(target(without)))
    assert (found.level, "us-east-1b is use1-az3" in found.what) == ("stop", True)
    assert found.remedy.startswith("set assistant.architecture to x86_64, or ")
    assert list(region.zones(target({"ec2": of("use1-az1", "use1-az2", "use1-az3")}))) == []
    three = target({"ec2": of("use1-az1", "use1-az2", "use1-az3")}, network={"zones": 3})
    assert one(region.zones(three)).level == "stop"
    assert list(region.zones(target(without, assistant={"architecture": "x86_64"}))) == []
    none_at_all = one(
        region.zones(
            target({"ec2": of("usw1-az1", "usw1-az2", "usw1-az3")}, assistant={"architecture": "x86_64"})
        )
    )
    assert none_at_all.remedy.startswith("import a VPC")
    imported = {
        "id": "vpc-0a1b2c3d",
        "cidr": "10.0.0.0/16",
        "zones": ["us-east-1a", "us-east-1c"],
        "public_subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
    }
    assert list(region.zones(target(without, network={"mode": "import", "vpc": imported}))) == []
    function = {"compute": "lambda", "memory_mib": 2048, "ingress_cidrs": ["203.0.113.0/24"]}
    assert list(region.zones(target(without, assistant=function, network={"mode": "none"}))) == []


def test_a_region_that_is_not_there_or_not_enabled_stops_and_ends_it(
    target: Callable[..., Target],
) -> None:
    assert one(region.region(target())).level == "ok"
    found = list(examine(replace(target(), region="us-eest-1")))
    assert [(each.level, each.what) for each in found] == [("stop", "there is no region us-eest-1")]
    assert "such as us-" in found[0].remedy
    (closed,) = examine(replace(target(), region="me-central-1"))
    assert (closed.level, "enable-region --region-name me-central-1" in closed.remedy) == ("stop", True)


TEMPLATES = {
    "Stack": {
        "Resources": {
            "Workspace": {"Type": "AWS::APS::Workspace"},
            "Pipeline": {"Type": "Custom::Thing"},
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Policies": [{"PolicyDocument": {"Statement": {"Action": ["comprehend:Detect*"]}}}]
                },
            },
        }
    }
}


def test_the_services_are_those_of_the_templates(target: Callable[..., Target]) -> None:
    assert region.services_of(TEMPLATES) == {"amp", "iam", "comprehend"}
    examined = replace(target(), templates=lambda: TEMPLATES)
    assert [each.level for each in region.services(examined)] == ["ok"]
    lacking, summary = region.services(replace(examined, region="eu-north-1"))
    assert (lacking.level, "comprehend in eu-north-1" in lacking.what) == ("warning", True)
    assert "3 services" in summary.what


def test_the_model_is_asked_on_request_only(target: Callable[..., Target]) -> None:
    assert one(features.access(target())).level == "warning"
    refusing = Answers(converse=error("AccessDeniedException"))
    found = one(features.access(target({"bedrock-runtime": refusing}, probe=True)))
    assert (found.level, found.remedy) == ("stop", features.ACCESS)
    assert one(features.access(target({"bedrock-runtime": Answers(converse={})}, probe=True))).level == "ok"


def test_grafana_needs_identity_center(cloud: Cloud, target: Callable[..., Target]) -> None:
    assert list(features.identity_center(target())) == []
    examined = target(observability={"grafana": True})
    assert one(features.identity_center(examined)).level == "ok"
    instances = ssoadmin_backends[cloud.account][cloud.region].instances
    instances.clear()
    found = one(features.identity_center(examined))
    assert (found.level, "grafana to false" in found.remedy) == ("stop", True)


@pytest.mark.parametrize(
    ("setting", "destination", "level", "remedy"),
    [
        ("enable", "XRay", "ok", ""),
        ("enable", "CloudWatchLogs", "stop", "to use"),
        ("use", "CloudWatchLogs", "ok", ""),
        ("use", "XRay", "stop", "turn it on"),
        ("off", "CloudWatchLogs", "warning", "to use"),
    ],
)
def test_transaction_search_is_as_its_setting_needs_it(
    cloud: Cloud, target: Callable[..., Target], setting: str, destination: str, level: str, remedy: str
) -> None:
    cloud.client("xray").update_trace_segment_destination(Destination=destination)
    found = one(features.transaction_search(target(observability={"transaction_search": setting})))
    assert found.level == level
    assert remedy in found.remedy


def test_transaction_search_that_is_off_as_its_setting_says_is_not_worth_a_word(
    cloud: Cloud, target: Callable[..., Target]
) -> None:
    cloud.client("xray").update_trace_segment_destination(Destination="XRay")
    assert [*features.transaction_search(target(observability={"transaction_search": "off"}))] == []


def test_transaction_search_of_this_environment_is_no_reason_to_stop(
    cloud: Cloud, target: Callable[..., Target]
) -> None:
    cloud.client("xray").update_trace_segment_destination(Destination="CloudWatchLogs")
    summary = {
        "StackResourceSummaries": [
            {
                "PhysicalResourceId": "x",
                "ResourceType": features.TRANSACTION_SEARCH,
                "ResourceStatus": "CREATE_COMPLETE",
            }
        ]
    }
    # moto's CloudFormation does not know the type, so the answer is given here.
    pages = Answers(paginate=[summary])
    own = target(
        {"cloudformation": Answers(get_paginator=pages)}, observability={"transaction_search": "enable"}
    )
    assert one(features.transaction_search(own)).what == "Transaction Search is on, by this environment"


def test_what_is_closed_to_new_customers_is_looked_at_when_it_is_on(target: Callable[..., Target]) -> None:
    assert [*features.ground_truth(target()), *features.prompt_safety(target())] == []
    none = Answers(list_labeling_jobs={"LabelingJobSummaryList": []})
    found = one(features.ground_truth(target({"sagemaker": none}, review={"backend": "ground_truth"})))
    assert (found.level, "mlflow" in found.remedy) == ("warning", True)
    safety = {"detectors": {"safety": {"kind": "comprehend_prompt_safety"}}}
    closed = Answers(classify_document=error("AccessDeniedException"))
    found = one(features.prompt_safety(target({"comprehend": closed}, assistant={"guardrails": safety})))
    assert (found.level, "bedrock_checks" in found.remedy) == ("stop", True)


def program(folder: Path, name: str, **answers: str) -> None:
    """Create a program on PATH that answers known arguments, and fails for others."""
    cases = "".join(
        f'  "{arguments.replace("__", "--").replace("_", " ")}"*) echo "{said}";;\n'
        for arguments, said in answers.items()
    )
    (folder / name).write_text(f'#!/bin/sh\ncase "$*" in\n{cases}  *) exit 1;;\nesac\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set PATH to an empty folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CDK_DOCKER", raising=False)
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    return tmp_path


def test_what_builds_the_images_is_tried(target: Callable[..., Target], programs: Path) -> None:
    found = one(machine.docker(target()))
    assert (found.level, found.remedy) == ("stop", "install it, or set images to codebuild")
    program(programs, "finch", info="up")
    assert one(machine.docker(target())).remedy.startswith("export CDK_DOCKER=finch, or ")
    program(programs, "docker", __version="Docker version 27.1.1, build 1")
    assert one(machine.docker(target())).remedy == "start it, or set images to codebuild"
    program(programs, "docker", __version="Docker version 20.10.2, build 1", info="up")
    assert one(machine.docker(target())).what == "Docker version 20.10.2, build 1: 23 is needed"
    program(programs, "docker", __version="Docker version 27.1.1, build 1", info="up")
    assert one(machine.docker(target())).level == "ok"
    assert one(machine.docker(target(images="codebuild"))).what == "CodeBuild builds the images"


def test_another_architecture_needs_a_builder_that_emulates_it(
    target: Callable[..., Target], programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    works = {"__version": "Docker version 27.1.1", "info": "up"}
    program(programs, "docker", **works)
    built, found = machine.docker(target())
    assert (built.level, found.level) == ("ok", "stop")
    assert "binfmt --install arm64" in found.remedy
    program(programs, "docker", **works, buildx_inspect="Platforms: linux/amd64, linux/arm64")
    assert one(machine.docker(target())).level == "ok"
    assert one(machine.docker(target(assistant={"architecture": "x86_64"}))).level == "ok"


JOBS = {
    "Job": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"DefinitionString": "createProcessingJob"},
    }
}


def test_the_jobs_architecture_counts_too(target: Callable[..., Target], programs: Path) -> None:
    works = {"__version": "Docker version 27.1.1", "info": "up"}
    examined = replace(target(), templates=lambda: {"Analysis": {"Resources": JOBS}})
    for platforms, levels in (
        ("linux/arm64", ["ok", "stop"]),
        ("linux/arm64, linux/amd64*, linux/amd64/v2", ["ok"]),
        ("linux/arm64, linux/amd64p32", ["ok", "stop"]),
    ):
        program(programs, "docker", **works, buildx_inspect=f"Platforms: {platforms}")
        found = list(machine.docker(examined))
        assert [each.level for each in found] == levels
    assert found[-1].what.startswith("images are built for linux/amd64, this machine is arm64")
    assert "binfmt --install amd64" in found[-1].remedy


def test_node_and_the_cli_are_those_that_are_locked(
    target: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one(machine.node(target())).level == "ok"
    monkeypatch.setattr(machine, "_node", lambda: str(tmp_path / "node"))
    assert one(machine.node(target())).remedy.startswith("make setup")
    program(tmp_path, "node", __version="v16.20.0")
    assert one(machine.node(target())).what.startswith("Node is v16.20.0, the CDK CLI needs")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    lock = {"packages": {machine.LOCKED: {"version": "2.9", "engines": {"node": ">= 18.0.0"}}}}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    assert "which make deploy installs first" in one(machine.cli(target())).what
    installed = tmp_path / machine.CLI
    installed.parent.mkdir(parents=True)
    for version, level in (("2.9", "ok"), ("2.8", "stop")):
        installed.write_text(json.dumps({"version": version}))
        assert one(machine.cli(target())).level == level


def test_what_cannot_be_asked_is_a_warning_and_never_ok(target: Callable[..., Target]) -> None:
    found = one(
        features.transaction_search(
            target(
                {"xray": Answers(get_trace_segment_destination=error("AccessDenied"))},
                observability={"transaction_search": "use"},
            )
        )
    )
    assert found.level == "warning"
    assert "could not be checked" in found.what


def test_the_whole_examination_of_the_local_aws(cloud: Cloud, target: Callable[..., Target]) -> None:
    cloud.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="29", Type="String", Overwrite=True
    )
    cloud.client("xray").update_trace_segment_destination(Destination="XRay")
    found = list(examine(target(images="codebuild")))
    assert all(each.remedy for each in found if each.level != "ok")
    assert found[0].what == "region us-east-1"
    assert "CDK bootstrap of version 29" in [each.what for each in found]
    # Nothing that it asks for is missing in the local AWS.
    assert [each.what for each in found if each.level == "warning"] == ["access to the model was not tried"]


def test_a_new_accounts_refusals_have_a_line_each_with_the_remedy(
    cloud: Cloud,
    catalog: Catalog,
    limits: dict[tuple[str, str], float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    programs: Path,
) -> None:
    catalog.without_agreement.add("anthropic.claude-haiku-4-5-20251001-v1:0")
    catalog.unauthorized.add("anthropic.claude-sonnet-4-5-20250929-v1:0")
    catalog.legacy.add("amazon.nova-pro-v1:0")
    limits[PROCESSING] = 0
    program(
        programs,
        "docker",
        __version="Docker version 27.1.1",
        info="up",
        buildx_inspect="Platforms: linux/arm64",
    )
    session = cloud.session()
    monkeypatch.setattr("ops.doctor.__main__.boto3.Session", lambda **_: session)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    assert main(["--profile", "dev"]) == 1
    lines = capsys.readouterr().out.splitlines()
    stops = {
        line.removeprefix("stop").strip(): lines[number + 1].strip()
        for number, line in enumerate(lines)
        if line.startswith("stop")
    }
    for what, remedy in (
        ("assistant.model_id: us.anthropic.claude-haiku", "create-foundation-model-agreement"),
        ("evaluation.judge_model_id: us.anthropic.claude-sonnet", "put-use-case-for-model-access"),
        ("review.judges: us.anthropic.claude-sonnet", "put-use-case-for-model-access"),
        ("review.judges: us.amazon.nova-pro-v1:0 is a legacy model", "set another model"),
        ("review.instance_type, analysis.instance_type: ml.m5.large", "request-service-quota-increase"),
        ("images are built for linux/amd64", "binfmt --install amd64"),
    ):
        (found,) = (told for said, told in stops.items() if said.startswith(what))
        assert remedy in found
    assert len([what for what in stops if "bootstrapped" not in what]) == 6


def test_the_command_ends_with_what_it_found(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], programs: Path
) -> None:
    assert not list(programs.iterdir())
    session = cloud.session()
    monkeypatch.setattr("ops.doctor.__main__.boto3.Session", lambda **_: session)
    monkeypatch.setattr("ops.doctor.__main__.synthesize", lambda _: TEMPLATES)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    assert main(["--profile", "dev"]) == 1
    assert "would stop the deployment" in capsys.readouterr().out
    assert main(["--profile", "nothing"]) == 2
    assert "'nothing' is not in the context" in capsys.readouterr().err
    monkeypatch.setattr(session, "get_credentials", lambda: None)
    assert main([]) == 2
    assert "no AWS credentials" in capsys.readouterr().err


OWN_ISSUER = {"issuer": "https://login.example.com/acme", "audience": "claims-desk"}
DOCUMENT = {
    "issuer": OWN_ISSUER["issuer"],
    "authorization_endpoint": "https://login.example.com/authorize",
    "token_endpoint": "https://login.example.com/token",
    "code_challenge_methods_supported": ["S256"],
}


@pytest.mark.parametrize(
    ("changes", "levels", "words"),
    [
        ({}, ["ok"], "/signed-in"),
        ({"token_endpoint": None}, ["warning"], "token_endpoint is missing"),
        ({"authorization_endpoint": "http://login.example.com/a"}, ["warning"], "is not https"),
        ({"code_challenge_methods_supported": ["plain"]}, ["warning"], "without S256"),
        ({"code_challenge_methods_supported": None}, ["warning", "ok"], "does not say"),
        ({"issuer": "https://other.example.com"}, ["warning"], "another issuer"),
    ],
)
def test_an_issuer_of_ones_own_must_let_people_sign_in(
    target: Callable[..., Target],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    levels: list[str],
    words: str,
) -> None:
    document = {name: value for name, value in {**DOCUMENT, **changes}.items() if value is not None}
    monkeypatch.setattr(sign_in, "read_document", lambda _: document)
    found = list(sign_in.sign_in(target(identity={"oidc": OWN_ISSUER})))
    assert [each.level for each in found] == levels
    assert words in found[0].what
    assert all(each.remedy for each in found if each.level != "ok")


def test_an_issuer_that_cannot_be_asked_is_never_ok(
    target: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> Any:
        raise OSError("no route")

    monkeypatch.setattr(sign_in, "read_document", away)
    assert one(sign_in.sign_in(target(identity={"oidc": OWN_ISSUER}))).level == "warning"


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, "ok", "http://localhost:8080"),
        (
            {"assistant": {"compute": "lambda", "ingress_cidrs": ["10.0.0.0/8"]}},
            "warning",
            "http://localhost:8080",
        ),
        (
            {"identity": {"sign_in": {"origins": ["https://desk.example.com/"]}}},
            "ok",
            "https://desk.example.com",
        ),
        ({"identity": {"sign_in": {"enabled": False}}}, "ok", "turned off"),
    ],
)
def test_where_a_sign_in_returns_to_is_said(
    target: Callable[..., Target], changes: dict[str, Any], level: str, words: str
) -> None:
    network = {"mode": "none"} if "assistant" in changes else {}
    found = one(sign_in.sign_in(target(network=network, **changes)))
    assert found.level == level
    assert words in found.what
