"""Settings of one environment: its sections, and the rules that hold between them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    model_validator,
)

from settings.analysis import Analysis
from settings.assistant import Assistant
from settings.capture import Capture
from settings.delivery import Delivery
from settings.evaluation import Evaluation
from settings.identity import Identity
from settings.kinds import Pattern, RetentionDays, Section
from settings.knowledge import Knowledge
from settings.network import Network
from settings.observability import Observability
from settings.review import Review
from settings.tracking import Tracking

LOCAL_ORIGIN = "http://localhost:8080"
"""Address of the pages through a port forwarding, and in a local run."""


class Settings(Section):
    """The settings of one environment."""

    profile: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{0,9}$")]
    """Name under `context.fmops` in cdk.json; part of the names of stacks."""
    prefix: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{1,11}$")] = "fmops"
    """Prefix of the stack names and of the few physical names that a service forces."""
    account: Annotated[str, Pattern(pattern=r"^\d{12}$")] | None = None
    """AWS account; by default, account and region come from the AWS credentials."""
    region: Annotated[str, Pattern(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """AWS region, such as eu-west-1."""
    bootstrap_qualifier: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9_-]{1,10}$")] = "hnb659fds"
    """Qualifier of the CDK bootstrap stack, if it is not the standard one."""
    permissions_boundary: Annotated[str, Pattern(pattern=r"^[\w+=,.@-]{1,128}$")] | None = None
    """Name of a managed policy of the account that bounds every role."""
    data_lifetime: Literal["temporary", "retained"] = "retained"
    """Lifetime of data. `temporary`: data is deleted with its stack. `retained`: it survives, and is protected
    from deletion."""
    log_retention_days: RetentionDays = 30
    """Days after which the entries of all our log groups expire."""
    images: Literal["docker", "codebuild"] = "docker"
    """Builder of the container images at a deploy: Docker on the machine that deploys, or CodeBuild in the
    account, for people without Docker."""
    network: Network = Network()
    identity: Identity = Identity()
    tracking: Tracking = Tracking()
    observability: Observability = Observability()
    capture: Capture = Capture()
    knowledge: Knowledge = Knowledge()
    assistant: Assistant = Assistant()
    evaluation: Evaluation = Evaluation()
    review: Review = Review()
    analysis: Analysis = Analysis()
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.observability.mlflow_traces and self.tracking.kind == "server":
            raise ValueError(
                "observability.mlflow_traces is true, but the collector sends traces to an MLflow App "
                "only: set tracking.kind to app, or mlflow_traces to false"
            )
        if self.network.mode == "none" and self.assistant.compute == "ecs":
            raise ValueError(
                "network.mode is none, but assistant.compute ecs runs in a VPC: set one of them to new or lambda"
            )
        if (
            self.network.mode != "none"
            and self.network.egress == "public"
            and self.assistant.compute == "lambda"
        ):
            raise ValueError(
                "network.egress is public, but a function in a VPC gets no public address: set network.mode to none,"
                " or network.egress to nat or endpoints"
            )
        if self.network.egress == "endpoints":
            self._check_endpoints()
        if fault := self.knowledge.fault_of(self.assistant.embedding_model_id):
            raise ValueError(fault)
        self._check_delivery()
        vpc = self.network.vpc
        if (
            vpc
            and self.assistant.compute == "ecs"
            and self.assistant.ingress_cidrs
            and not vpc.public_subnets
        ):
            raise ValueError(
                "assistant.ingress_cidrs makes the load balancer face the internet, but "
                "network.vpc.public_subnets is empty: name one for each zone, or leave ingress_cidrs "
                "out"
            )
        return self

    def _check_delivery(self) -> None:
        pipeline = self.delivery.pipeline
        if pipeline and pipeline.then == self.profile:
            raise ValueError(
                f"delivery.pipeline.then is {self.profile}, which the pipeline deploys first: name "
                "another profile, or null for none"
            )
        if pipeline and pipeline.smoke and not self.assistant.ingress_cidrs:
            raise ValueError(
                "delivery.pipeline.smoke sends its test from CodeBuild, which does not reach an "
                "internal load balancer: set assistant.ingress_cidrs, or smoke to false"
            )
        if pipeline and pipeline.smoke and not self.identity.admin_password_sign_in:
            raise ValueError(
                "delivery.pipeline.smoke signs the demo's users in by password, which "
                "identity.admin_password_sign_in does not allow: set it to true, or smoke to false"
            )
        if pipeline and (fault := self.not_built_by_a_pipeline):
            raise ValueError(f"delivery.pipeline {fault}")
        github = self.delivery.github
        if (
            github
            and github.provider_arn
            and self.account
            and f"::{self.account}:" not in github.provider_arn
        ):
            raise ValueError(
                f"delivery.github.provider_arn is of another account than {self.account}: a role can "
                "trust its own account's provider only; name that, or leave it out to have it made"
            )

    @property
    def no_sign_in(self) -> str | None:
        """Return why people cannot sign in at the pages, in a sentence with the remedy; None if they can."""
        if self.identity.sign_in.enabled is False:
            return (
                "Sign-in at the pages is turned off: set identity.sign_in.enabled to true, or send an ID token with"
                " each request."
            )
        if self._pool_is_behind_an_endpoint:
            return (
                "The network has no way to the internet, and a user pool with sign-in pages is not reached through a"
                " VPC endpoint: set network.egress to nat, or send an ID token with each request."
            )
        return None

    @property
    def sign_in_origins(self) -> tuple[str, ...]:
        """Return the addresses at which people open the pages, without a slash at their ends."""
        domain = self.assistant.domain
        given = self.identity.sign_in.origins or (f"https://{domain.name}" if domain else LOCAL_ORIGIN,)
        return tuple(dict.fromkeys(origin.rstrip("/") for origin in given))

    @property
    def _pool_is_behind_an_endpoint(self) -> bool:
        return self.network.mode != "none" and self.network.egress == "endpoints" and not self.identity.oidc

    def _check_endpoints(self) -> None:
        if self.identity.sign_in.asked_for and self._pool_is_behind_an_endpoint:
            raise ValueError(
                "network.egress is endpoints, but identity.sign_in gives the user pool a domain, and a pool with a "
                "domain is not reached through an endpoint: use nat, or leave identity.sign_in out"
            )
        if self.identity.oidc:
            raise ValueError(
                "network.egress is endpoints, but the keys of identity.oidc are read from its issuer "
                "over the internet: use nat"
            )
        if self.review.backend == "ground_truth":
            raise ValueError(
                "network.egress is endpoints, but review.backend ground_truth gives the user pool a "
                "domain, and a pool with a domain is not reached through an endpoint: use nat"
            )

    @property
    def not_built_by_a_pipeline(self) -> str | None:
        """Return why a pipeline's machines, which all have one architecture, cannot build this environment's
        images; None if they can."""
        if self.images == "docker" and self.assistant.architecture != "x86_64":
            return (
                "builds images on x86_64 machines, as the jobs need them, but assistant.architecture "
                f"is {self.assistant.architecture} and images is docker: set images to codebuild, or "
                "assistant.architecture to x86_64"
            )
        return None

    @property
    def environment_name(self) -> str:
        """Return `<prefix>-<profile>`, which is unique in an account and region."""
        return f"{self.prefix}-{self.profile}"
