"""The VPC of a deployment."""

from collections.abc import Sequence
from typing import Literal

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.service_endpoints import ServiceEndpoints

Egress = Literal["public", "nat", "endpoints"]


def inside(vpc: ec2.IVpc) -> list[ec2.ISubnet]:
    """Return the subnets that nobody reaches from outside, or none if a VPC has only public ones."""
    return vpc.private_subnets or vpc.isolated_subnets


class Network(Construct):
    """A VPC with flow logs and the free gateway endpoints of S3 and DynamoDB.

    With `egress="public"` there are public subnets only and no NAT gateway, whose idle price would be the
    largest of a development environment. Tasks get public addresses to reach the internet; nothing comes in,
    because their security group admits the load balancer alone. With `egress="nat"` tasks run in private
    subnets, and each zone has a NAT gateway, so that the loss of one zone stays in that zone. With
    `egress="endpoints"` there is no way to the internet: AWS services are reached through interface endpoints,
    each billed by the hour in each zone, which makes this the most expensive of the three.

    Args:
        egress: How tasks reach AWS services: `public`, `nat` or `endpoints`.
        zones: Number of availability zones; a load balancer needs two.
        services: IAM prefixes of the services that need an interface endpoint with `egress="endpoints"`.
            None by default.
        public_subnets: Whether to create public subnets, for a load balancer that faces the internet, even if
            `egress` does not need them. On by default.
        log_bucket: Bucket that receives the flow logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        egress: Egress,
        zones: int,
        services: Sequence[str] = (),
        public_subnets: bool = True,
        log_bucket: s3.Bucket,
    ) -> None:
        super().__init__(scope, id)
        self.vpc = self._build_vpc(egress, zones, public_subnets)
        self._build_gateway_endpoints()
        if egress == "endpoints":
            ServiceEndpoints(self, "Endpoints", vpc=self.vpc, services=services)
        self._build_flow_logs(log_bucket)

    def _build_vpc(self, egress: Egress, zones: int, public_subnets: bool) -> ec2.Vpc:
        subnets = []
        if public_subnets or egress != "endpoints":
            subnets.append(
                ec2.SubnetConfiguration(
                    name="Public",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=24,
                    map_public_ip_on_launch=False,
                )
            )
        if egress != "public":
            private = (
                ec2.SubnetType.PRIVATE_WITH_EGRESS if egress == "nat" else ec2.SubnetType.PRIVATE_ISOLATED
            )
            subnets.append(ec2.SubnetConfiguration(name="Private", subnet_type=private, cidr_mask=22))
        return ec2.Vpc(
            self,
            "Vpc",
            # Zones are chosen at deployment, so that synth needs no account.
            availability_zones=[Fn.select(index, Fn.get_azs()) for index in range(zones)],
            nat_gateways=zones if egress == "nat" else 0,
            subnet_configuration=subnets,
        )

    def _build_gateway_endpoints(self) -> None:
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self.vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)

    def _build_flow_logs(self, log_bucket: s3.Bucket) -> None:
        self.vpc.add_flow_log(
            "FlowLog", destination=ec2.FlowLogDestination.to_s3(log_bucket, "vpc-flow-logs")
        )


class ExistingNetwork(Construct):
    """An existing VPC, used as it is. Nothing is looked up in the account, so that synth needs none.

    Args:
        vpc_id: Id of the VPC.
        cidr: IPv4 range of the VPC.
        zones: Availability zones, in the order of the subnets.
        public_subnets: Ids of the public subnets, one in each zone, for tasks with public addresses and for a
            load balancer that faces the internet. None by default.
        private_subnets: Ids of the private subnets, one in each zone; tasks run there if there are any.
            None by default.
        private_route_tables: Ids of the private subnets' route tables, in the same order, for the gateway
            endpoints. None by default.
        services: IAM prefixes of the services that get an interface endpoint. None by default, for subnets that
            already have a way to AWS.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        vpc_id: str,
        cidr: str,
        zones: Sequence[str],
        public_subnets: Sequence[str] = (),
        private_subnets: Sequence[str] = (),
        private_route_tables: Sequence[str] = (),
        services: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        self.vpc: ec2.IVpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=vpc_id,
            vpc_cidr_block=cidr,
            availability_zones=list(zones),
            public_subnet_ids=list(public_subnets) or None,
            private_subnet_ids=list(private_subnets) or None,
            private_subnet_route_table_ids=list(private_route_tables) or None,
        )
        acknowledge(
            self.vpc,
            "Route tables are named where gateway endpoints are added to them, and are nobody's business otherwise.",
            "@aws-cdk/aws-ec2:noSubnetRouteTableId",
        )
        if services:
            for name, service in (
                ("S3", ec2.GatewayVpcEndpointAwsService.S3),
                ("DynamoDb", ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            ):
                self.vpc.add_gateway_endpoint(name, service=service)
            ServiceEndpoints(self, "Endpoints", vpc=self.vpc, services=services)
