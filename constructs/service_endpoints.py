"""Private connections from a VPC to AWS services that do not cross the internet."""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct
from constructs.acknowledge import acknowledge

Service = ec2.InterfaceVpcEndpointAwsService

INTERFACES: Mapping[str, tuple[ec2.InterfaceVpcEndpointAwsService, ...]] = {
    "aps": (Service.PROMETHEUS_WORKSPACES,),
    "bedrock": (Service.BEDROCK_RUNTIME,),
    "bedrock-agent-runtime": (Service.BEDROCK_AGENT_RUNTIME,),
    "cognito-idp": (Service.COGNITO_IDP,),
    "comprehend": (Service.COMPREHEND,),
    "ecr": (Service.ECR, Service.ECR_DOCKER),
    "firehose": (Service.KINESIS_FIREHOSE,),
    "logs": (Service.CLOUDWATCH_LOGS,),
    "sagemaker": (Service.SAGEMAKER_EXPERIMENTS,),
    "sagemaker-mlflow": (Service.SAGEMAKER_EXPERIMENTS,),
    "secretsmanager": (Service.SECRETS_MANAGER,),
    "verifiedpermissions": (Service.VERIFIED_PERMISSIONS,),
    "xray": (Service.XRAY,),
}
"""Endpoints that receive a service's calls, by the prefix of its IAM actions ("AWS services that integrate
with AWS PrivateLink"), or by the name of `OTHER_ENDPOINTS`."""

OTHER_ENDPOINTS = {"bedrock:Retrieve": "bedrock-agent-runtime"}
"""Names of the endpoints of actions that go to another one than their service's other actions."""

GATEWAYS = frozenset({"dynamodb", "s3"})
"""Services reached through the free gateway endpoints."""

CALLED_BY_SERVICES = frozenset({"kms"})
"""Services that other services call on a role's behalf: the application itself sends them nothing."""


class ServiceEndpoints(Construct):
    """Interface endpoints of services, with private DNS, so that the SDKs' usual addresses lead to them.

    Args:
        vpc: VPC whose private subnets get the endpoints.
        services: IAM prefixes of the services; those of `INTERFACES` are known.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        vpc: ec2.IVpc,
        services: Sequence[str],
    ) -> None:
        super().__init__(scope, id)
        subnets = ec2.SubnetSelection(subnets=vpc.private_subnets or vpc.isolated_subnets)
        security_group = ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, allow_all_outbound=False)
        security_group.add_ingress_rule(ec2.Peer.ipv4(vpc.vpc_cidr_block), ec2.Port.tcp(443), "From the VPC")
        acknowledge(
            security_group, "The range is the VPC's own, which the rule cannot resolve.", "AwsSolutions-EC23"
        )
        for name in sorted(services):
            for service in INTERFACES[name]:
                ec2.InterfaceVpcEndpoint(
                    self,
                    "".join(part.capitalize() for part in service.short_name.replace(".", "-").split("-")),
                    vpc=vpc,
                    service=service,
                    subnets=subnets,
                    security_groups=[security_group],
                    private_dns_enabled=True,
                    open=False,
                )
