"""The base class of all stacks."""

from aws_cdk import DefaultStackSynthesizer, Environment, PermissionsBoundary, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.data_lifetime import DataLifetime

from settings import Settings

LOG_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}


class FmopsStack(Stack):
    """A stack `<prefix>-<profile>-<id>`, in the settings' account and region and under their permissions
    boundary.
    """

    def __init__(self, scope: Construct, id: str, settings: Settings, *, description: str) -> None:  # noqa: A002 - CDK's name
        boundary, lifetime = settings.permissions_boundary, DataLifetime(settings.data_lifetime)
        super().__init__(
            scope,
            id,
            stack_name=f"{settings.environment_name}-{id}",
            description=description,
            env=Environment(account=settings.account, region=settings.region),
            synthesizer=DefaultStackSynthesizer(qualifier=settings.bootstrap_qualifier),
            permissions_boundary=PermissionsBoundary.from_name(boundary) if boundary else None,
            termination_protection=lifetime.protected,
            tags={"fmops:environment": settings.environment_name},
        )
        # Set where constructs look for it, as in an app that has it in cdk.json.
        self.node.set_context("@aws-cdk/core:bootstrapQualifier", settings.bootstrap_qualifier)
        self.lifetime = lifetime
        self.log_retention = LOG_RETENTION[settings.log_retention_days]
