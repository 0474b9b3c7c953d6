"""The DynamoDB table of the agent's records."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.table_access import grant_use


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
        self.table = self._build_table(lifetime)

    def grant_use(self, role: iam.Role) -> None:
        """Allows to read items and to change them, but neither to list them, to make new ones nor to delete any."""
        actions = ("GetItem", "UpdateItem")
        grant_use(self.table, self._key, role, *(f"dynamodb:{action}" for action in actions))

    def _build_table(self, lifetime: DataLifetime) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="kind", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=lifetime.protected,
            removal_policy=lifetime.removal_policy,
        )
