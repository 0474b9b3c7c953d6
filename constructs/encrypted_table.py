"""DynamoDB tables encrypted with a customer managed key, and access to them."""

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime


def build_table(
    scope: Construct,
    key: kms.Key,
    lifetime: DataLifetime,
    *,
    partition_key: str,
    sort_key: str,
    time_to_live_attribute: str | None = None,
) -> dynamodb.Table:
    """Return a new table in the scope, with text keys, paid per request, and with point-in-time recovery."""
    return dynamodb.Table(
        scope,
        "Table",
        partition_key=dynamodb.Attribute(name=partition_key, type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name=sort_key, type=dynamodb.AttributeType.STRING),
        time_to_live_attribute=time_to_live_attribute,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
        encryption_key=key,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        deletion_protection=lifetime.protected,
        removal_policy=lifetime.removal_policy,
    )


def grant_use(table: dynamodb.Table, key: kms.Key, role: iam.Role, *actions: str) -> None:
    """Allow a role to perform the actions on the table's items, and to have DynamoDB decrypt the table's key
    on its behalf."""
    table.grant(role, *actions)
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["kms:Decrypt"],
            resources=[key.key_arn],
            conditions={
                "StringEquals": {"kms:ViaService": f"dynamodb.{Stack.of(table).region}.amazonaws.com"}
            },
        )
    )
