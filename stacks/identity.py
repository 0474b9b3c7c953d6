"""Identity: who the users are and what they may do. Changes with the policies."""

from pathlib import Path

from aws_cdk import CfnOutput
from constructs import Construct
from constructs.tool_authorization import CognitoIdentity, ToolAuthorization
from constructs.user_directory import UserDirectory

from settings import Settings
from stacks.base import FmopsStack

ROOT = Path(__file__).parents[1]
POLICIES = ROOT / "policies"


class Identity(FmopsStack):
    """Cognito user pool and Verified Permissions policy store."""

    GROUPS = ("customers", "adjusters", "supervisors", "handlers", "siu", "auditors", "staff")

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id, settings, description="FMOps: users, groups and Cedar policies")
        self.users = UserDirectory(
            self,
            "Users",
            groups=self.GROUPS,
            mfa=settings.identity.mfa,
            admin_password_sign_in=settings.identity.admin_password_sign_in,
            pre_token_code=ROOT / "lambdas" / "pre_token",
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        self.policies = ToolAuthorization(
            self,
            "Policies",
            policies=POLICIES,
            identity=CognitoIdentity(self.users.pool, self.users.client),
            groups=self.GROUPS,
            lifetime=self.lifetime,
            alias=settings.environment_name,
        )
        CfnOutput(self, "UserPoolId", value=self.users.pool.user_pool_id)
        CfnOutput(self, "UserPoolClientId", value=self.users.client.user_pool_client_id)
        CfnOutput(self, "PolicyStoreId", value=self.policies.store_id)
