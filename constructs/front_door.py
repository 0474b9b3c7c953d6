"""The load balancer in front of a service."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.network import inside
from constructs.own_domain import OwnDomain


class FrontDoor(Construct):
    """An Application Load Balancer that faces the internet for the given address ranges, or is internal to the
    VPC if there are none.

    With a certificate it speaks TLS and redirects plain HTTP; without one it speaks plain HTTP.

    Args:
        vpc: VPC of the load balancer.
        ingress_cidrs: IPv4 ranges that may connect. An empty list makes an internal load balancer, which only
            the VPC's own range reaches.
        certificate: Certificate of the listener. By default the domain's, or plain HTTP if there is
            no domain either.
        domain: Domain name that points to the load balancer; its certificate is used unless another is given.
            None by default.
        service: Service that receives the requests.
        container_port: Port of the service's default container.
        health_path: Path that answers 200 while a task is healthy.
        log_bucket: Bucket for the access logs; its policy must allow Elastic Load Balancing to write, as that
            of `DataLake.log_bucket` does.
        log_prefix: Key prefix of the access logs, the one that the bucket's policy names, such as
            `DataLake.ALB_LOGS_PREFIX`.
        deletion_protection: Whether the load balancer is protected from deletion. Off by default.
    """

    # A streamed answer may pause this long while a tool works.
    IDLE_TIMEOUT = Duration.seconds(120)

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        vpc: ec2.IVpc,
        ingress_cidrs: Sequence[str],
        certificate: acm.ICertificate | None = None,
        domain: OwnDomain | None = None,
        service: ecs.FargateService,
        container_port: int,
        health_path: str,
        log_bucket: s3.Bucket,
        log_prefix: str,
        deletion_protection: bool = False,
    ) -> None:
        super().__init__(scope, id)
        self._domain = domain
        self._certificate = certificate or (domain.certificate if domain else None)
        self.load_balancer = self._build_load_balancer(vpc, bool(ingress_cidrs), deletion_protection)
        self._log_access(log_bucket, log_prefix)
        self.listener = self._build_listener()
        self._allow(ingress_cidrs or [vpc.vpc_cidr_block])
        self.target_group = self._build_targets(service, container_port, health_path)
        if domain is not None:
            domain.point_to(targets.LoadBalancerTarget(self.load_balancer))

    @property
    def url(self) -> str:
        """Base URL of the service."""
        scheme = "https" if self._certificate else "http"
        return (
            f"{scheme}://{self._domain.name if self._domain else self.load_balancer.load_balancer_dns_name}"
        )

    def _build_load_balancer(
        self, vpc: ec2.IVpc, internet_facing: bool, deletion_protection: bool
    ) -> elbv2.ApplicationLoadBalancer:
        subnets = vpc.public_subnets if internet_facing else inside(vpc) or vpc.public_subnets
        return elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=vpc,
            internet_facing=internet_facing,
            vpc_subnets=ec2.SubnetSelection(subnets=subnets),
            idle_timeout=self.IDLE_TIMEOUT,
            drop_invalid_header_fields=True,
            deletion_protection=deletion_protection,
        )

    def _log_access(self, bucket: s3.Bucket, prefix: str) -> None:
        # The method `log_access_logs` needs a region at synth, and the bucket's policy belongs to
        # the bucket's owner.
        for key, value in {"enabled": "true", "bucket": bucket.bucket_name, "prefix": prefix}.items():
            self.load_balancer.set_attribute(f"access_logs.s3.{key}", value)
        self.load_balancer.node.add_dependency(bucket)

    def _build_listener(self) -> elbv2.ApplicationListener:
        if self._certificate is None:
            return self.load_balancer.add_listener(
                "Http", protocol=elbv2.ApplicationProtocol.HTTP, port=80, open=False
            )
        self.load_balancer.add_redirect(open=False)
        return self.load_balancer.add_listener(
            "Https",
            protocol=elbv2.ApplicationProtocol.HTTPS,
            port=443,
            open=False,
            ssl_policy=elbv2.SslPolicy.RECOMMENDED_TLS,
            certificates=[self._certificate],
        )

    def _allow(self, cidrs: Sequence[str]) -> None:
        for cidr in cidrs:
            for port in (80, 443) if self._certificate else (80,):
                self.load_balancer.connections.allow_from(ec2.Peer.ipv4(cidr), ec2.Port.tcp(port))
        acknowledge(
            self.load_balancer.node.find_child("SecurityGroup"),
            "The ranges are the VPC's own, which the rule cannot resolve, or those that the setting"
            " ingress_cidrs names.",
            "AwsSolutions-EC23",
        )

    def _build_targets(
        self, service: ecs.FargateService, container_port: int, health_path: str
    ) -> elbv2.ApplicationTargetGroup:
        return self.listener.add_targets(
            "Service",
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=container_port,
            targets=[service],
            deregistration_delay=Duration.seconds(60),
            health_check=elbv2.HealthCheck(
                path=health_path,
                interval=Duration.seconds(15),
                timeout=Duration.seconds(5),
                healthy_threshold_count=2,
            ),
        )
