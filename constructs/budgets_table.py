"""The DynamoDB table of spending by users, by teams and by the whole deployment."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.encrypted_table import build_table, grant_use


class BudgetsTable(Construct):
    """A table of budget counters, by `account` and `period`. Paid per request.

    Each item is for one account, under a pseudonym, and one window of time. It expires by its `expires_at`,
    some days after the window ends.

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
            self,
            key,
            lifetime,
            partition_key="account",
            sort_key="period",
            time_to_live_attribute="expires_at",
        )

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to change counters, which also returns their values, but not to list or delete them."""
        grant_use(self.table, self._key, role, "dynamodb:UpdateItem")
