"""Authorization of an agent's tool calls: a Verified Permissions policy store from a folder of Cedar files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_verifiedpermissions as avp
from constructs import Construct, cedar
from constructs.data_lifetime import DataLifetime


class IdentityProvider(Protocol):
    """An issuer of the tokens that a policy store accepts."""

    @property
    def entity_prefix(self) -> str:
        """Prefix that Verified Permissions puts, followed by a `|`, before the ids of users and groups."""

    def configuration(self, group_type: str) -> avp.CfnIdentitySource.IdentitySourceConfigurationProperty:
        """Return the configuration of the identity source, with the entity type of the groups."""


@dataclass(frozen=True)
class CognitoIdentity:
    """The users of a Cognito user pool, identified by the ID tokens of one of its app clients."""

    pool: cognito.IUserPool
    client: cognito.IUserPoolClient
    group_claim: str = "cognito:groups"

    @property
    def audience(self) -> str:
        return self.client.user_pool_client_id

    @property
    def entity_prefix(self) -> str:
        return self.pool.user_pool_id

    def configuration(self, group_type: str) -> avp.CfnIdentitySource.IdentitySourceConfigurationProperty:
        groups = avp.CfnIdentitySource.CognitoGroupConfigurationProperty(group_entity_type=group_type)
        return avp.CfnIdentitySource.IdentitySourceConfigurationProperty(
            cognito_user_pool_configuration=avp.CfnIdentitySource.CognitoUserPoolConfigurationProperty(
                user_pool_arn=self.pool.user_pool_arn,
                client_ids=[self.client.user_pool_client_id],
                group_configuration=groups,
            )
        )


@dataclass(frozen=True)
class OidcIdentity:
    """The users of any OpenID Connect issuer, identified by their ID tokens.

    Args:
        issuer: The issuer's https URL, exactly as in its discovery document, including any slash at its end.
            Verified Permissions reads `/.well-known/openid-configuration` there.
        audience: Client id that the tokens are issued to.
        group_claim: Claim of the token that holds a list of group names.
        entity_prefix: Prefix of the ids of users and groups.
    """

    issuer: str
    audience: str
    group_claim: str = "groups"
    entity_prefix: str = "oidc"

    def configuration(self, group_type: str) -> avp.CfnIdentitySource.IdentitySourceConfigurationProperty:
        tokens = avp.CfnIdentitySource.OpenIdConnectIdentityTokenConfigurationProperty(
            client_ids=[self.audience], principal_id_claim="sub"
        )
        return avp.CfnIdentitySource.IdentitySourceConfigurationProperty(
            open_id_connect_configuration=avp.CfnIdentitySource.OpenIdConnectConfigurationProperty(
                issuer=self.issuer,
                entity_id_prefix=self.entity_prefix,
                token_selection=avp.CfnIdentitySource.OpenIdConnectTokenSelectionProperty(
                    identity_token_only=tokens
                ),
                group_configuration=avp.CfnIdentitySource.OpenIdConnectGroupConfigurationProperty(
                    group_claim=self.group_claim, group_entity_type=group_type
                ),
            )
        )


class ToolAuthorization(Construct):
    """A policy store in STRICT mode with a schema, one policy or policy template per file, and an identity
    source.

    The entity types of the principals are `<namespace>::User` and `<namespace>::Group`. Policies write a group
    as `Group::"adjusters"`; once deployed it is `Group::"<entity prefix>|adjusters"`, the name that Verified
    Permissions gives it. In the store a policy is named `name/<file stem>/<scope>`; the audit's entries name it
    by the file stem. Verified Permissions cannot update a policy's effect, principal or resource: an edit of
    them changes the scope, which creates a new policy and removes the old one. If it is a policy template, the
    policies that are linked to it are removed too.

    Verified Permissions publishes no metric of policies that fail to evaluate. The runtime denies such calls
    and counts them (`fmops.authorization.decisions` with the reason `policy_error`); alarms are rules over that
    metric.

    Args:
        policies: Folder with `schema.json`, the `*.cedar` files and, in `templates`, the policy templates.
            Raises `constructs.cedar.CedarError` if one is not valid.
        identity: Issuer whose users are the principals.
        groups: Groups that policies may name.
        lifetime: Whether the store outlives the stack. `RETAINED` keeps it and protects it from deletion.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        policies: Path,
        identity: IdentityProvider,
        groups: Sequence[str],
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id)
        source = cedar.load(policies, groups)
        self.store = self._build_store(source.schema, lifetime)
        self._build_policies(source.policies, identity.entity_prefix)
        self._build_templates(source.templates, identity.entity_prefix)
        self._build_identity_source(source.namespace, identity)

    @property
    def store_id(self) -> str:
        """Id of the policy store."""
        return self.store.attr_policy_store_id

    def grant_decisions(self, role: iam.IRole) -> None:
        """Allow a role to ask for decisions by a user's token, one at a time or in a batch, and to read names
        and scopes of policies."""
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[
                    "verifiedpermissions:GetSchema",
                    "verifiedpermissions:IsAuthorizedWithToken",
                    "verifiedpermissions:ListPolicies",
                ],
                resources=[self.store.attr_arn],
            )
        )

    def grant_rehearsal(self, role: iam.IRole) -> None:
        """Allow a role to ask about principals that it describes itself, such as those of a sandbox, and to
        read names and scopes of policies."""
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[
                    "verifiedpermissions:GetSchema",
                    "verifiedpermissions:IsAuthorized",
                    "verifiedpermissions:ListPolicies",
                ],
                resources=[self.store.attr_arn],
            )
        )

    def grant_administration(self, role: iam.IRole) -> None:
        """Allow a role to create and remove the grants to single users that the policy templates are for."""
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[
                    "verifiedpermissions:CreatePolicy",
                    "verifiedpermissions:DeletePolicy",
                    "verifiedpermissions:GetPolicy",
                    "verifiedpermissions:ListPolicies",
                    "verifiedpermissions:ListPolicyTemplates",
                ],
                resources=[self.store.attr_arn],
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

    def _build_policies(self, policies: Sequence[cedar.CedarPolicy], prefix: str) -> None:
        for policy in policies:
            avp.CfnPolicy(
                self,
                f"{policy.name}-{policy.scope}",
                policy_store_id=self.store_id,
                name=f"name/{policy.name}/{policy.scope}",
                definition=avp.CfnPolicy.PolicyDefinitionProperty(
                    static=avp.CfnPolicy.StaticPolicyDefinitionProperty(
                        description=policy.description, statement=_with_prefix(policy.statement, prefix)
                    )
                ),
            )

    def _build_templates(self, templates: Sequence[cedar.CedarPolicy], prefix: str) -> None:
        for template in templates:
            avp.CfnPolicyTemplate(
                self,
                f"{template.name}-{template.scope}",
                policy_store_id=self.store_id,
                name=f"name/{template.name}/{template.scope}",
                description=template.description,
                statement=_with_prefix(template.statement, prefix),
            )

    def _build_identity_source(self, namespace: str, identity: IdentityProvider) -> None:
        avp.CfnIdentitySource(
            self,
            "IdentitySource",
            policy_store_id=self.store_id,
            principal_entity_type=f"{namespace}::User",
            configuration=identity.configuration(f"{namespace}::Group"),
        )


def _with_prefix(statement: str, prefix: str) -> str:
    return cedar.GROUP.sub(rf'Group::"{prefix}|\1"', statement)
