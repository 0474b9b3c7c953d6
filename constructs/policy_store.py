"""The Verified Permissions policy store."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_verifiedpermissions as avp
from constructs import Construct, cedar
from constructs.data_lifetime import DataLifetime


class PolicyStore(Construct):
    """A policy store in STRICT mode with a schema, one policy per file, and a Cognito user pool as identity source.

    The entity types of the principals are `<namespace>::User` and `<namespace>::Group`. Policies write a group as
    `Group::"adjusters"`; deployed it is `Group::"<user pool id>|adjusters"`, the name that Verified Permissions gives to it.

    Args:
        policies: folder with `schema.json` and the `*.cedar` files; `constructs.cedar.CedarError` when one is not valid.
        user_pool: whose users are the principals.
        user_pool_client: whose ID tokens are accepted.
        groups: of the user pool.
        lifetime: `RETAINED` protects the store from deletion.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        policies: Path,
        user_pool: cognito.UserPool,
        user_pool_client: cognito.UserPoolClient,
        groups: Sequence[str],
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id)
        source = cedar.load(policies, groups)
        self.store = self._build_store(source.schema, lifetime)
        self._build_policies(source.policies, user_pool.user_pool_id)
        self._build_identity_source(source.namespace, user_pool, user_pool_client)

    @property
    def store_id(self) -> str:
        """Id of the policy store."""
        return self.store.attr_policy_store_id

    def grant_decisions(self, role: iam.Role) -> None:
        """Lets a role ask for decisions by a user's token, one at a time or in a batch."""
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["verifiedpermissions:IsAuthorizedWithToken"], resources=[self.store.attr_arn]
            )
        )

    def _build_store(self, schema: str, lifetime: DataLifetime) -> avp.CfnPolicyStore:
        store = avp.CfnPolicyStore(
            self,
            "Store",
            description="Which user may call which tool on what",
            validation_settings=avp.CfnPolicyStore.ValidationSettingsProperty(mode="STRICT"),
            schema=avp.CfnPolicyStore.SchemaDefinitionProperty(cedar_json=schema),
            deletion_protection=avp.CfnPolicyStore.DeletionProtectionProperty(
                mode="ENABLED" if lifetime.protected else "DISABLED"
            ),
        )
        store.apply_removal_policy(lifetime.removal_policy)
        return store

    def _build_policies(self, policies: Sequence[cedar.CedarPolicy], user_pool_id: str) -> None:
        for policy in policies:
            statement = cedar.GROUP.sub(rf'Group::"{user_pool_id}|\1"', policy.statement)
            avp.CfnPolicy(
                self,
                policy.name,
                policy_store_id=self.store_id,
                definition=avp.CfnPolicy.PolicyDefinitionProperty(
                    static=avp.CfnPolicy.StaticPolicyDefinitionProperty(
                        description=policy.description, statement=statement
                    )
                ),
            )

    def _build_identity_source(
        self, namespace: str, user_pool: cognito.UserPool, client: cognito.UserPoolClient
    ) -> None:
        avp.CfnIdentitySource(
            self,
            "IdentitySource",
            policy_store_id=self.store_id,
            principal_entity_type=f"{namespace}::User",
            configuration=avp.CfnIdentitySource.IdentitySourceConfigurationProperty(
                cognito_user_pool_configuration=avp.CfnIdentitySource.CognitoUserPoolConfigurationProperty(
                    user_pool_arn=user_pool.user_pool_arn,
                    client_ids=[client.user_pool_client_id],
                    group_configuration=avp.CfnIdentitySource.CognitoGroupConfigurationProperty(
                        group_entity_type=f"{namespace}::Group"
                    ),
                )
            ),
        )
