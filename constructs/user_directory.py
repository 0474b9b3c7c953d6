"""The Cognito user pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.acknowledge import acknowledge
from constructs.data_lifetime import DataLifetime

PRE_TOKEN = Path(__file__).parents[1] / "lambdas" / "pre_token"


@dataclass(frozen=True)
class ManagedLogin:
    """Cognito's own sign-in pages, for the app client of a `UserDirectory`.

    A pool that has them cannot be called through a VPC endpoint.
    """

    domain_prefix: str
    """Beginning of the pages' address, unique in the region; without the words aws, amazon and cognito."""
    callback_urls: Sequence[str]
    """Addresses to which a sign-in may return, compared exactly: https, or http on localhost."""
    logout_urls: Sequence[str]
    """Addresses to which a sign-out may return, compared exactly."""


def add_branding(
    scope: Construct,
    id: str,  # noqa: A002 - CDK's name
    pool: cognito.IUserPool,
    client: cognito.IUserPoolClient,
) -> cognito.CfnManagedLoginBranding:
    """Give a client of a pool with managed login Cognito's own style, without which it has no sign-in page."""
    return cognito.CfnManagedLoginBranding(
        scope,
        id,
        user_pool_id=pool.user_pool_id,
        client_id=client.user_pool_client_id,
        use_cognito_provided_values=True,
    )


class UserDirectory(Construct):
    """A user pool without self sign-up, its groups, an app client, and the trigger that adds the claim `mfa`
    to ID tokens.

    Users have custom attributes, which policies may rely on because only administrators can write them.

    Args:
        groups: Names of the groups.
        attributes: Names of the custom attributes, which hold at most 64 characters of text. None by default.
        mfa: Whether users may (`optional`) or must (`required`, the default) have a TOTP authenticator.
        admin_password_sign_in: Whether administrators may sign in for a user (`ADMIN_USER_PASSWORD_AUTH`).
            Off by default.
        managed_login: Sign-in pages for people, with an authorization code and PKCE. None by default.
        pre_token_code: Folder of the pre-token-generation function, with `handler.handler`. The function of
            this package by default.
        lifetime: Whether the pool outlives the stack. `RETAINED` keeps it and protects it from deletion.
        log_retention: How long the function's log group keeps events.
    """

    ID_TOKEN_VALIDITY = Duration.hours(1)
    SESSION = Duration.hours(10)
    """Time after which a person who signed in at the managed login has to sign in again."""
    ROTATION_GRACE = Duration.seconds(60)
    """Time for which a refresh token stays valid after it was exchanged, for an answer that got lost."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        groups: Sequence[str],
        attributes: Sequence[str] = (),
        mfa: Literal["optional", "required"] = "required",
        admin_password_sign_in: bool = False,
        managed_login: ManagedLogin | None = None,
        pre_token_code: Path = PRE_TOKEN,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self.groups: tuple[str, ...] = tuple(groups)
        self.pool = self._build_pool(attributes, mfa, lifetime)
        self._build_groups()
        self._build_pre_token_trigger(pre_token_code, lifetime, log_retention)
        self.client = self._build_client(attributes, admin_password_sign_in, managed_login)
        self.domain = self._build_managed_login(managed_login) if managed_login else None

    def _build_pool(
        self, attributes: Sequence[str], mfa: Literal["optional", "required"], lifetime: DataLifetime
    ) -> cognito.UserPool:
        pool = cognito.UserPool(
            self,
            "UserPool",
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(username=True, email=True),
            sign_in_case_sensitive=False,
            custom_attributes={
                name: cognito.StringAttribute(mutable=True, max_len=64) for name in attributes
            },
            mfa=cognito.Mfa.REQUIRED if mfa == "required" else cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            deletion_protection=lifetime.protected,
            removal_policy=lifetime.removal_policy,
        )
        acknowledge(
            pool,
            "Users are made by administrators and sign in with long passwords and TOTP; the Plus plan is"
            " billed per user and month.",
            "AwsSolutions-COG8",
        )
        if mfa == "optional":
            acknowledge(
                pool,
                "Chosen by the setting identity.mfa, for environments without real data.",
                "AwsSolutions-COG2",
            )
        return pool

    def _build_groups(self) -> None:
        for group in self.groups:
            self.pool.add_group(f"{group.capitalize()}Group", group_name=group)

    def _build_pre_token_trigger(
        self, code: Path, lifetime: DataLifetime, log_retention: logs.RetentionDays
    ) -> None:
        role = iam.Role(self, "PreTokenRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = logs.LogGroup(
            self, "PreTokenLogs", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        log_group.grant_write(role)
        function = lambda_.Function(
            self,
            "PreToken",
            description="Adds the claim mfa to ID tokens",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(code), exclude=["__pycache__"]),
            timeout=Duration.seconds(5),
            memory_size=256,
            role=role,
            log_group=log_group,
        )
        self.pool.add_trigger(
            cognito.UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG, function, cognito.LambdaVersion.V2_0
        )
        # Separate from the role, because the pool needs the function and this policy needs the pool.
        policy = iam.Policy(self, "PreTokenPolicy")
        policy.add_statements(
            iam.PolicyStatement(actions=["cognito-idp:AdminGetUser"], resources=[self.pool.user_pool_arn])
        )
        role.attach_inline_policy(policy)

    def _build_client(
        self, attributes: Sequence[str], admin_password_sign_in: bool, managed_login: ManagedLogin | None
    ) -> cognito.UserPoolClient:
        return self.pool.add_client(
            "Client",
            auth_flows=cognito.AuthFlow(admin_user_password=admin_password_sign_in, user_srp=True),
            disable_o_auth=managed_login is None,
            o_auth=_code_flow(managed_login) if managed_login else None,
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO]
            if managed_login
            else None,
            generate_secret=False,
            prevent_user_existence_errors=True,
            enable_token_revocation=True if managed_login else None,
            id_token_validity=self.ID_TOKEN_VALIDITY,
            access_token_validity=self.ID_TOKEN_VALIDITY,
            refresh_token_validity=self.SESSION if managed_login else None,
            refresh_token_rotation_grace_period=self.ROTATION_GRACE if managed_login else None,
            read_attributes=cognito.ClientAttributes()
            .with_standard_attributes(email=True, email_verified=True, preferred_username=True)
            .with_custom_attributes(*attributes),
            write_attributes=cognito.ClientAttributes().with_standard_attributes(
                email=True, preferred_username=True
            ),
        )

    def _build_managed_login(self, managed_login: ManagedLogin) -> cognito.UserPoolDomain:
        domain = self.pool.add_domain(
            "Domain",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=managed_login.domain_prefix),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        add_branding(self, "Branding", self.pool, self.client)
        return domain


def _code_flow(managed_login: ManagedLogin) -> cognito.OAuthSettings:
    """Return the settings of a sign-in with a code. The scope `openid` alone gives an ID token with every
    attribute that the client may read; further scopes would narrow it."""
    return cognito.OAuthSettings(
        flows=cognito.OAuthFlows(authorization_code_grant=True),
        scopes=[cognito.OAuthScope.OPENID],
        callback_urls=list(managed_login.callback_urls),
        logout_urls=list(managed_login.logout_urls),
    )
