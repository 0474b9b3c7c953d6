"""Access to DynamoDB tables that a customer managed key encrypts."""

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms


def grant_use(table: dynamodb.Table, key: kms.Key, role: iam.Role, *actions: str) -> None:
    """Allows the actions on the table's items, and DynamoDB, as its caller, to unwrap the table's key."""
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
