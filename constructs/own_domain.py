"""A domain name of your own for an application."""

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct


class OwnDomain(Construct):
    """A name in a hosted zone, with a new or an existing certificate.

    Args:
        name: Domain name, such as `assistant.example.com`.
        hosted_zone_id: Id of the hosted zone that contains the name; nothing is looked up.
        hosted_zone_name: Name of that zone.
        certificate_arn: ARN of a certificate for the name. By default one is created and validated by DNS.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        hosted_zone_id: str,
        hosted_zone_name: str,
        certificate_arn: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.name = name
        self._zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=hosted_zone_id, zone_name=hosted_zone_name
        )
        self.certificate: acm.ICertificate = (
            acm.Certificate.from_certificate_arn(self, "Certificate", certificate_arn)
            if certificate_arn
            else acm.Certificate(
                self,
                "Certificate",
                domain_name=name,
                validation=acm.CertificateValidation.from_dns(self._zone),
            )
        )

    def point_to(self, target: route53.IAliasRecordTarget) -> None:
        """Point the name to a load balancer or an API."""
        route53.ARecord(
            self,
            "Alias",
            zone=self._zone,
            record_name=f"{self.name}.",
            target=route53.RecordTarget.from_alias(target),
        )
