"""The DynamoDB table of what users, teams and the deployment have spent."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.table_access import grant_use


class BudgetsTable(Construct):
    """Counters of budgets, by `account` and `period`. Paid per request.

    An item is for one account, under a pseudonym, and one window of time. It expires by its `expires_at`, days after the window's end.

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
        self.table = self._build_table(lifetime)

    def grant_use(self, role: iam.Role) -> None:
        """Allows to change counters, which answers what they stand at, but neither to list them nor to delete any."""
        grant_use(self.table, self._key, role, "dynamodb:UpdateItem")

    def _build_table(self, lifetime: DataLifetime) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="account", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="period", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires_at",
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=lifetime.protected,
            removal_policy=lifetime.removal_policy,
        )
