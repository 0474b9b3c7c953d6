"""Settings of automatic deployment by GitHub Actions or CodePipeline."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    model_validator,
)

from settings.kinds import Pattern, Section

RepositoryName = Annotated[str, Pattern(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$")]


class GitHubRepository(Section):
    """A repository whose GitHub Actions deploy this environment (`.github/workflows/deploy.yml`)."""

    name: RepositoryName
    """Repository name as `OWNER/NAME`."""
    environment: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """Environment of the repository whose jobs may deploy; the profile's name when not set."""
    provider_arn: (
        Annotated[
            str,
            Pattern(pattern=r"^arn:aws:iam::\d{12}:oidc-provider/token\.actions\.githubusercontent\.com$"),
        ]
        | None
    ) = None
    """GitHub's OIDC provider, if the account already has one, for example from another environment: there can
    be only one."""


class Pipeline(Section):
    """A CDK pipeline in the account, which deploys this environment, and then another, at each push."""

    repository: RepositoryName
    """Repository name as `OWNER/NAME`."""
    branch: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9._/-]{1,255}$")] = "main"
    """Branch whose pushes are deployed."""
    connection_arn: Annotated[
        str,
        Pattern(
            pattern=r"^arn:aws:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[0-9a-f-]{36}$"
        ),
    ]
    """ARN of a CodeConnections connection to the repository, created and authorized in the console."""
    smoke: bool = True
    """Whether the smoke test must pass before the next environment. It runs on CodeBuild's machines, outside
    all your VPCs."""
    then: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{0,9}$")] | None = "prod"
    """Profile that is deployed after someone has approved; with none, only this one is deployed."""


class Delivery(Section):
    """Delivery of releases into the account, besides `make deploy` (docs/delivery.md)."""

    github: GitHubRepository | None = None
    """GitHub repository whose workflows assume roles by OIDC: one that deploys, and a read-only one for pull
    requests."""
    pipeline: Pipeline | None = None
    """CodePipeline that deploys. Set either this or `github`, since both would deploy the same."""

    @model_validator(mode="after")
    def _check(self) -> Delivery:
        if self.github and self.pipeline:
            raise ValueError(
                "github and pipeline are both set, and would both deploy each push: leave one of them out"
            )
        return self
