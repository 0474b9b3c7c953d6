"""The API in front of a function that streams its answers."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53_targets as targets
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.own_domain import OwnDomain

EVERYWHERE = "0.0.0.0/0"


class StreamingApi(Construct):
    """A REST API that passes every request to a function and streams its answer back: a front that costs
    nothing when idle.

    It speaks TLS only. It does not authenticate: the application checks the token of each request itself,
    wherever it runs.

    Args:
        name: Name of the API.
        function: Function that gets all requests, through `InvokeWithResponseStream`.
        timeout: Maximum duration of one answer, at most fifteen minutes.
        ingress_cidrs: IPv4 ranges that may connect; `0.0.0.0/0` is everyone.
        domain: Domain name that points to the API and replaces its own address. None by default.
        firewalled: Whether the stage is behind a web ACL. Off by default.
        requests_per_second: Maximum number of requests per second. Those above it are refused with 429, which
            limits the cost of a flood. 50 by default.
    """

    STAGE = "live"

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        function: lambda_.IFunction,
        timeout: Duration,
        ingress_cidrs: Sequence[str],
        domain: OwnDomain | None = None,
        firewalled: bool = False,
        requests_per_second: int = 50,
    ) -> None:
        super().__init__(scope, id)
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=name,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            disable_execute_api_endpoint=True if domain else None,
            policy=None if EVERYWHERE in ingress_cidrs else _only_from(ingress_cidrs),
            deploy_options=apigateway.StageOptions(
                stage_name=self.STAGE,
                tracing_enabled=True,
                throttling_rate_limit=requests_per_second,
                throttling_burst_limit=2 * requests_per_second,
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # remove an output that the stack's owner did not ask for
        integration = apigateway.LambdaIntegration(
            function,
            proxy=True,
            allow_test_invoke=False,
            response_transfer_mode=apigateway.ResponseTransferMode.STREAM,
            timeout=timeout,
        )
        self.api.root.add_method("ANY", integration)
        self.api.root.add_proxy(any_method=True, default_integration=integration)
        self._domain = domain
        if domain is not None:
            self._serve_as(domain)
        self._acknowledge(firewalled)

    @property
    def url(self) -> str:
        """Base URL of the application, with a slash at its end."""
        return f"https://{self._domain.name}/" if self._domain else self.api.url

    @property
    def stage_arn(self) -> str:
        """ARN of the stage, for a web ACL to be associated with."""
        return self.api.deployment_stage.stage_arn

    def _serve_as(self, domain: OwnDomain) -> None:
        self.api.add_domain_name(
            "Domain",
            domain_name=domain.name,
            certificate=domain.certificate,
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )
        domain.point_to(targets.ApiGateway(self.api))

    def _acknowledge(self, firewalled: bool) -> None:
        acknowledge(
            self.api,
            "The application verifies the token of each request: one rule on ECS and on Lambda, for Cognito"
            " and any other issuer.",
            "AwsSolutions-APIG4",
            "AwsSolutions-COG4",
        )
        if not firewalled:
            acknowledge(
                self.api,
                "Web ACLs are billed by the month: environments that cost nothing idle go without,"
                " throttled and with tokens checked.",
                "AwsSolutions-APIG3",
            )
        acknowledge(
            self.api,
            "The application validates bodies itself, and answers what is wrong with them.",
            "AwsSolutions-APIG2",
        )
        acknowledge(
            self.api,
            "Logs of an API need a role that is one for the account and region, which two environments"
            " would take from each other; the application's traces and metrics have each request.",
            "AwsSolutions-APIG1",
            "AwsSolutions-APIG6",
        )


def _only_from(cidrs: Sequence[str]) -> iam.PolicyDocument:
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*"],
                conditions={"IpAddress": {"aws:SourceIp": list(cidrs)}},
            )
        ]
    )
