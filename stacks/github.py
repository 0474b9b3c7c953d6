"""The GitHub stack: which of a repository's workflows may deploy and read the environment. It changes with the
repository's name."""

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.github_access import GitHubAccess

from settings import GitHubRepository, Settings
from stacks.base import FmopsStack


class GitHub(FmopsStack):
    """Roles for GitHub Actions, apart from everything else: a person deploys it first, so that the workflow can
    deploy the rest."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        repository: GitHubRepository,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: roles for GitHub Actions")
        access = GitHubAccess(
            self,
            "Access",
            repository=repository.name,
            environment=repository.environment or settings.profile,
            bootstrap_qualifier=settings.bootstrap_qualifier,
            provider_arn=repository.provider_arn,
        )
        CfnOutput(self, "DeployRoleArn", value=access.deploy_role.role_arn)
        CfnOutput(self, "LookupRoleArn", value=access.lookup_role.role_arn)
