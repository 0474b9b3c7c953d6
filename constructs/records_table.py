"""The DynamoDB table of the agent's records."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_table import build_table, grant_use


class RecordsTable(Construct):
    """A table of the agent's records of every kind, by `kind` and `id`. Paid per request.

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
        self.table: dynamodb.Table = build_table(self, key, lifetime, partition_key="kind", sort_key="id")

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to read and change items, but not to list, create or delete them."""
        actions = ("GetItem", "BatchGetItem", "UpdateItem")
        grant_use(self.table, self._key, role, *(f"dynamodb:{action}" for action in actions))
