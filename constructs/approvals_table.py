"""The DynamoDB table of tool calls that wait for a human."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_table import build_table, grant_use


class ApprovalsTable(Construct):
    """A table of tool calls that wait for approval, and of the checkpoints of their turns, by `PK` and `SK`.
    Paid per request.

    The key names are those of `langgraph-checkpoint-aws`. Items expire by their `ttl`.

    Args:
        key: KMS key that encrypts the table.
        lifetime: Whether the table outlives the stack. `RETAINED` keeps it and protects it from deletion.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        key: kms.Key,
        lifetime: DataLifetime,
    ) -> None:
        super().__init__(scope, id)
        self._key = key
        self.table: dynamodb.Table = build_table(
            self, key, lifetime, partition_key="PK", sort_key="SK", time_to_live_attribute="ttl"
        )

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to read and write items, but not to scan the table or to delete from it."""
        actions = ("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem")
        grant_use(self.table, self._key, role, *(f"dynamodb:{action}" for action in actions))
