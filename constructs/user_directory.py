"""The Cognito user pool."""

from collections.abc import Sequence
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
        pre_token_code: Folder of the pre-token-generation function, with `handler.handler`. The function of
            this package by default.
        lifetime: Whether the pool outlives the stack. `RETAINED` keeps it and protects it from deletion.
        log_retention: How long the function's log group keeps events.
    """

    ID_TOKEN_VALIDITY = Duration.hours(1)

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        groups: Sequence[str],
        attributes: Sequence[str] = (),
        mfa: Literal["optional", "required"] = "required",
        admin_password_sign_in: bool = False,
        pre_token_code: Path = PRE_TOKEN,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self.groups: tuple[str, ...] = tuple(groups)
        self.pool = self._build_pool(attributes, mfa, lifetime)
        self._build_groups()
        self._build_pre_token_trigger(pre_token_code, lifetime, log_retention)
        self.client = self._build_client(attributes, admin_password_sign_in)

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
        self, attributes: Sequence[str], admin_password_sign_in: bool
    ) -> cognito.UserPoolClient:
        return self.pool.add_client(
            "Client",
            auth_flows=cognito.AuthFlow(admin_user_password=admin_password_sign_in, user_srp=True),
            disable_o_auth=True,
            generate_secret=False,
            prevent_user_existence_errors=True,
            id_token_validity=self.ID_TOKEN_VALIDITY,
            access_token_validity=self.ID_TOKEN_VALIDITY,
            read_attributes=cognito.ClientAttributes()
            .with_standard_attributes(email=True, email_verified=True, preferred_username=True)
            .with_custom_attributes(*attributes),
            write_attributes=cognito.ClientAttributes().with_standard_attributes(
                email=True, preferred_username=True
            ),
        )
