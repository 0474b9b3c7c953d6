"""Log groups for the functions behind CDK's own custom resources."""

from aws_cdk import CfnResource, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct


class CustomResourceLogs(Construct):
    """Gives each of these functions a log group with retention; the one that Lambda would create has none and
    outlives the stack.

    Create it as the last construct of a stack that empties buckets or restricts a default security group.

    Args:
        retention: How long the log groups keep events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        providers = [child for child in Stack.of(self).node.children if child.node.id.startswith("Custom::")]
        for provider in providers:
            log_group = logs.LogGroup(
                self,
                provider.node.id.removeprefix("Custom::"),
                retention=retention,
                removal_policy=RemovalPolicy.DESTROY,
            )
            handler = provider.node.find_child("Handler")
            assert isinstance(handler, CfnResource)  # noqa: S101 - the L1 of the function
            handler.add_property_override("LoggingConfig.LogGroup", log_group.log_group_name)
