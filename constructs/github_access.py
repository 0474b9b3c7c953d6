"""Roles for a repository's GitHub Actions workflows, without a secret in GitHub."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
BOOTSTRAP_ROLES = ("deploy", "file-publishing", "image-publishing", "lookup")


class GitHubAccess(Construct):
    """GitHub's OIDC provider and two roles: one that deploys and one that only reads.

    Neither role may do anything in the account by itself: they assume the roles of `cdk bootstrap`, which
    deploy, publish assets and look up. A workflow gets the deploying role only in one of the repository's
    environments, whose protection rules say which branches may use it and who approves. It gets the reading
    role only for a pull request; GitHub gives pull requests from forks no identity. Sources: GitHub's guide
    "Configuring OpenID Connect in Amazon Web Services", and the CDK's "Customize bootstrapping".

    Args:
        repository: Repository as `OWNER/NAME`.
        environment: Environment of the repository whose jobs may deploy.
        bootstrap_qualifier: Qualifier of the roles that `cdk bootstrap` created.
        provider_arn: ARN of the account's OIDC provider for GitHub, of which there can be only one. By default
            one is created.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        repository: str,
        environment: str,
        bootstrap_qualifier: str,
        provider_arn: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._qualifier = bootstrap_qualifier
        self._provider_arn = provider_arn or self._build_provider().oidc_provider_arn
        self.deploy_role = self._build_role(
            "DeployRole", f"repo:{repository}:environment:{environment}", BOOTSTRAP_ROLES
        )
        self.lookup_role = self._build_role("LookupRole", f"repo:{repository}:pull_request", ("lookup",))

    def _build_provider(self) -> iam.OidcProviderNative:
        return iam.OidcProviderNative(self, "Provider", url=f"https://{ISSUER}", client_ids=[AUDIENCE])

    def _build_role(self, name: str, subject: str, bootstrap_roles: Sequence[str]) -> iam.Role:
        conditions = {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subject}}
        role = iam.Role(
            self,
            name,
            description=f"Assumed by GitHub Actions as {subject}",
            assumed_by=iam.WebIdentityPrincipal(self._provider_arn, conditions),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sts:AssumeRole"], resources=[self._bootstrap_role(each) for each in bootstrap_roles]
            )
        )
        return role

    def _bootstrap_role(self, name: str) -> str:
        stack = Stack.of(self)
        return stack.format_arn(
            service="iam",
            region="",
            resource="role",
            resource_name=f"cdk-{self._qualifier}-{name}-role-{stack.account}-{stack.region}",
        )
