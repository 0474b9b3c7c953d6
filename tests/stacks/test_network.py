"""Networks: created, imported or none; and endpoints for exactly the services that are called."""

import json
from pathlib import Path
from typing import Any

import pytest
from constructs.service_endpoints import CALLED_BY_SERVICES, GATEWAYS, INTERFACES, OTHER_ENDPOINTS

import app
import settings
from tests.synthesized import ENCLOSED, Assembly, context

# Lambda writes a function's log under its role, but not from its subnets.
NOT_FROM_THE_VPC = {"lambda": {"logs"}, "ecs": set()}


@pytest.fixture(scope="module")
def on_ecs_without_internet(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Return an assembly with ECS in a new VPC with endpoints."""
    directory: Path = tmp_path_factory.mktemp("endpoints")
    changes = {"network": {"egress": "endpoints"}, "data_lifetime": "temporary"}
    app.build(context("endpoints", **changes), str(directory)).synth()
    files = sorted(directory.glob("*.template.json"))
    return Assembly(
        "endpoints", {file.name.split(".")[0]: json.loads(file.read_text()) for file in files}, []
    )


@pytest.mark.parametrize("compute", ["ecs", "lambda"])
def test_there_is_an_endpoint_for_each_service_that_the_roles_may_call_and_no_other(
    assemblies: dict[str, Assembly], on_ecs_without_internet: Assembly, compute: str
) -> None:
    assembly = on_ecs_without_internet if compute == "ecs" else assemblies["enclosed"]
    called = {OTHER_ENDPOINTS.get(action, action.split(":")[0]) for action in _actions(assembly)}
    called |= {"cognito-idp"}  # its keys are public
    called -= GATEWAYS | CALLED_BY_SERVICES | NOT_FROM_THE_VPC[compute]
    assert called <= INTERFACES.keys(), "say in constructs/service_endpoints.py behind which endpoint it is"
    needed = {endpoint.short_name for service in called for endpoint in INTERFACES[service]}
    assert _interfaces(assembly) == needed


def test_without_a_way_to_the_internet_nothing_comes_from_it(on_ecs_without_internet: Assembly) -> None:
    types = {each["Type"] for each in on_ecs_without_internet.resources().values()}
    assert not types & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway"}
    (task,) = on_ecs_without_internet.resources("AWS::ECS::TaskDefinition").values()
    (service,) = on_ecs_without_internet.resources("AWS::ECS::Service").values()
    assert "public.ecr.aws" not in json.dumps(task)
    placement = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert placement["AssignPublicIp"] == "DISABLED"
    collector = next(
        each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] == "collector"
    )
    assert (
        f"COPY --from=collector /awscollector {collector['Command'][0]}"
        in Path("images/assistant.Dockerfile").read_text()
    )


def test_an_imported_vpc_is_used_and_not_made(assemblies: dict[str, Assembly]) -> None:
    assembly = assemblies["enclosed"]
    made = assembly.resources(
        "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::FlowLog", "AWS::EC2::RouteTable"
    )
    assert made == {}
    functions = assembly.resources("AWS::Lambda::Function")
    (assistant,) = [each for name, each in functions.items() if name.startswith("Assistant/App")]
    private = ENCLOSED["network"]["vpc"]["private_subnets"]  # type: ignore[index]
    assert assistant["Properties"]["VpcConfig"]["SubnetIds"] == private
    gateways = [
        each["Properties"]
        for each in assembly.resources("AWS::EC2::VPCEndpoint").values()
        if each["Properties"]["VpcEndpointType"] == "Gateway"
    ]
    assert len(gateways) == 2
    assert {tuple(each["RouteTableIds"]) for each in gateways} == {
        tuple(ENCLOSED["network"]["vpc"]["private_route_tables"])  # type: ignore[index]
    }


def test_an_imported_vpc_carries_ecs_too(tmp_path: Path) -> None:
    vpc = {
        **ENCLOSED["network"]["vpc"],  # type: ignore[index]
        "public_subnets": ["subnet-2a1b2c3d4e5f60718", "subnet-3a1b2c3d4e5f60718"],
    }
    changes = {"network": {"mode": "import", "egress": "public", "vpc": vpc}}
    app.build(context("own", **changes), str(tmp_path)).synth()
    template = json.loads((tmp_path / "Assistant.template.json").read_text())
    (service,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::ECS::Service")
    placement = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert placement["Subnets"] == vpc["public_subnets"]
    assert placement["AssignPublicIp"] == "ENABLED"
    assert "missing" not in json.loads((tmp_path / "manifest.json").read_text())


VPC: dict[str, Any] = {
    "id": "vpc-0a1b2c3d",
    "cidr": "10.0.0.0/16",
    "zones": ["eu-west-1a", "eu-west-1b"],
    "public_subnets": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
    "private_subnets": ["subnet-2a1b2c3d", "subnet-3a1b2c3d"],
}


def _imported(egress: str = "nat", **changes: Any) -> dict[str, Any]:
    return {"network": {"mode": "import", "egress": egress, "vpc": {**VPC, **changes}}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (_imported(zones=["eu-west-1a"]), "network.vpc: zones are 1, but must be at least 2"),
        (
            _imported(private_subnets=["subnet-2a1b2c3d"]),
            "network.vpc: private_subnets are 1, but zones are 2: name one for each zone, in its order",
        ),
        (
            _imported(private_subnets=[]),
            "network: vpc.private_subnets is empty, but egress nat needs one for each of the 2 zones",
        ),
        (
            _imported("endpoints"),
            "network: vpc.private_route_tables is empty, but egress endpoints needs one",
        ),
        (
            _imported("public", public_subnets=[]),
            "network: vpc.public_subnets is empty, but egress public needs one",
        ),
        (_imported(cidr="ten"), "network.vpc: cidr is 'ten', but must be an IPv4 range such as 10.0.0.0/16"),
        (
            {"network": {"mode": "import"}},
            r"network: mode import and vpc go together: set both, or neither \(mode is import, vpc is not set\)",
        ),
        ({"network": {"vpc": VPC}}, r"set both, or neither \(mode is new, vpc is set\)"),
        (
            {**_imported(public_subnets=[]), "assistant": {"ingress_cidrs": ["10.1.0.0/16"]}},
            "assistant.ingress_cidrs makes the load balancer face the internet, but"
            " network.vpc.public_subnets is empty",
        ),
        (
            {
                "network": {"egress": "endpoints"},
                "identity": {"oidc": {"issuer": "https://login.example.com", "audience": "desk"}},
            },
            "network.egress is endpoints, but the keys of identity.oidc are read from its issuer over the"
            " internet: use nat",
        ),
        (
            {"network": {"egress": "endpoints"}, "review": {"backend": "ground_truth"}},
            "network.egress is endpoints, but review.backend ground_truth gives the user pool a domain",
        ),
        (
            {
                "assistant": {
                    "domain": {
                        "name": "a.example.org",
                        "hosted_zone_id": "Z1",
                        "hosted_zone_name": "example.com",
                    }
                }
            },
            "assistant.domain: name is a.example.org, but must end with the hosted zone's example.com",
        ),
        (
            {
                "network": {"mode": "none"},
                "assistant": {
                    "compute": "lambda",
                    "ingress_cidrs": ["0.0.0.0/0"],
                    "certificate_arn": "arn:aws:acm:eu-west-1:111122223333:certificate/0a1b2c3d",
                },
            },
            "certificate_arn is set, but with compute lambda a certificate needs a domain",
        ),
    ],
)
def test_a_network_that_cannot_carry_it_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(settings.SettingsError, match=sentence):
        settings.load(context("dev", **changes))


def _actions(assembly: Assembly) -> set[str]:
    """Return the actions of the roles that act from inside the VPC: the application's, and the one that
    starts its containers."""
    found: set[str] = set()
    for name, policy in assembly.resources("AWS::IAM::Policy").items():
        if name.startswith("Assistant/App"):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                found |= set(actions if isinstance(actions, list) else [actions])
    return found


def _interfaces(assembly: Assembly) -> set[str]:
    names = set()
    for endpoint in assembly.resources("AWS::EC2::VPCEndpoint").values():
        if endpoint["Properties"]["VpcEndpointType"] == "Interface":
            service = json.dumps(endpoint["Properties"]["ServiceName"])
            names |= {
                each.short_name
                for endpoints in INTERFACES.values()
                for each in endpoints
                if f'.{each.short_name}"' in service
            }
    return names
