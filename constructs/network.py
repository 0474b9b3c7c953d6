"""The VPC."""

from typing import Literal

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from constructs import Construct


class Network(Construct):
    """A VPC with flow logs and the free gateway endpoints of S3 and DynamoDB.

    With `egress="public"` there are public subnets only and no NAT gateway, whose idle price would be the largest of a development
    environment (interface endpoints for the ten services in use would cost more still). Tasks get public addresses for their way out;
    nothing comes in, because their security group admits the load balancer alone.
    With `egress="nat"` tasks run in private subnets, and each zone has a NAT gateway so that the loss of one zone stays in that zone.

    Args:
        egress: how tasks reach AWS services.
        zones: number of availability zones.
        log_bucket: receives the flow logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        egress: Literal["public", "nat"],
        zones: int,
        log_bucket: s3.Bucket,
    ) -> None:
        super().__init__(scope, id)
        self.vpc = self._build_vpc(egress, zones)
        self._build_gateway_endpoints()
        self._build_flow_logs(log_bucket)

    def _build_vpc(self, egress: Literal["public", "nat"], zones: int) -> ec2.Vpc:
        subnets = [
            ec2.SubnetConfiguration(
                name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
            )
        ]
        if egress == "nat":
            subnets.append(
                ec2.SubnetConfiguration(
                    name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22
                )
            )
        return ec2.Vpc(
            self,
            "Vpc",
            # Chosen at deployment, so that synth needs no account.
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
