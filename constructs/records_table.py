"""The DynamoDB table of the agent's records."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_table import build_table, grant_use


class RecordsTable(Construct):
    """An agent's records of every kind, by `kind` and `id`. Paid per request.

    Args:
        key: encrypts the table.
        lifetime: `RETAINED` keeps the table and protects it from deletion.
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
        """Allows to read items and to change them, but neither to list them, to make new ones nor to delete any."""
        actions = ("GetItem", "UpdateItem")
        grant_use(self.table, self._key, role, *(f"dynamodb:{action}" for action in actions))
