"""The DynamoDB table of what users, teams and the deployment have spent."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_table import build_table, grant_use


class BudgetsTable(Construct):
    """Counters of budgets, by `account` and `period`. Paid per request.

    An item is for one account, under a pseudonym, and one window of time. It expires by its `expires_at`, days
    after the window's end.

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
        self.table: dynamodb.Table = build_table(
            self,
            key,
            lifetime,
            partition_key="account",
            sort_key="period",
            time_to_live_attribute="expires_at",
        )

    def grant_use(self, role: iam.Role) -> None:
        """Allows to change counters, which answers what they stand at, but neither to list them nor to delete any."""
        grant_use(self.table, self._key, role, "dynamodb:UpdateItem")
