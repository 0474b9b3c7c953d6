"""The Identity stack: who the users are and what they may do. It changes with the policies."""

from pathlib import Path

from aws_cdk import CfnOutput
from aws_cdk import aws_cognito as cognito
from constructs import Construct, cedar
from constructs.tool_authorization import CognitoIdentity, OidcIdentity, ToolAuthorization
from constructs.unique_name import unique_name
from constructs.user_directory import ManagedLogin, UserDirectory

from settings import Settings
from settings.identity import CALLBACK, RESERVED
from stacks.base import FmopsStack

ROOT = Path(__file__).parents[1]
POLICIES = ROOT / "policies"


class Identity(FmopsStack):
    """Verified Permissions policy store, and the Cognito user pool whose users it knows, unless they sign in
    elsewhere."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id, settings, description="FMOps: users, groups and Cedar policies")
        self.groups = cedar.groups(POLICIES)
        oidc = settings.identity.oidc
        self.domain: cognito.UserPoolDomain | None = None
        """Address of the pool's sign-in pages."""
        self._no_sign_in = settings.no_sign_in
        self.provider = (
            OidcIdentity(oidc.issuer, oidc.audience, oidc.group_claim)
            if oidc
            else self._build_users(settings)
        )
        self.policies = ToolAuthorization(
            self,
            "Policies",
            policies=POLICIES,
            identity=self.provider,
            groups=self.groups,
            lifetime=self.lifetime,
        )
        CfnOutput(self, "PolicyStoreId", value=self.policies.store_id)

    @property
    def token_environment(self) -> dict[str, str]:
        """Return the variables that a service needs to accept the users' tokens."""
        provider = self.provider
        variables = {
            "FMOPS_OIDC_AUDIENCE": provider.audience,
            "FMOPS_OIDC_GROUP_CLAIM": provider.group_claim,
            "FMOPS_PRINCIPAL_PREFIX": provider.entity_prefix,
            **({"FMOPS_NO_SIGN_IN": self._no_sign_in} if self._no_sign_in else {}),
        }
        if isinstance(provider, OidcIdentity):
            return {**variables, "FMOPS_OIDC_ISSUER": provider.issuer}
        pool = provider.pool.user_pool_id
        issuer = f"https://cognito-idp.{self.region}.amazonaws.com/{pool}"
        return {**variables, "FMOPS_OIDC_ISSUER": issuer, "FMOPS_USER_POOL_ID": pool}

    def _build_users(self, settings: Settings) -> CognitoIdentity:
        users = UserDirectory(
            self,
            "Users",
            groups=self.groups,
            attributes=cedar.custom_attributes(POLICIES),
            mfa=settings.identity.mfa,
            admin_password_sign_in=settings.identity.admin_password_sign_in,
            managed_login=None if settings.no_sign_in else self._managed_login(settings),
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        CfnOutput(self, "UserPoolId", value=users.pool.user_pool_id)
        CfnOutput(self, "UserPoolClientId", value=users.client.user_pool_client_id)
        self.domain = users.domain
        if users.domain:
            CfnOutput(self, "SignInUrl", value=users.domain.base_url())
        return CognitoIdentity(users.pool, users.client)

    def _managed_login(self, settings: Settings) -> ManagedLogin:
        environment = settings.environment_name
        allowed = "sign-in" if any(word in environment for word in RESERVED) else environment
        origins = settings.sign_in_origins
        return ManagedLogin(
            settings.identity.sign_in.domain_prefix or unique_name(self, allowed),
            callback_urls=[f"{origin}/{CALLBACK}" for origin in origins],
            logout_urls=[f"{origin}/" for origin in origins],
        )
