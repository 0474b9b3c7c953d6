"""A state machine that is traced, and whose logs leave out its input and output."""

from aws_cdk import Duration
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct
from constructs.data_lifetime import DataLifetime


def logged_state_machine(
    scope: Construct,
    *,
    name: str,
    states: sfn.IChainable,
    timeout: Duration,
    log_retention: logs.RetentionDays,
) -> sfn.StateMachine:
    """Create `StateMachine` and `LogGroup` in the scope. The log group's name is Step Functions' prefix
    followed by `name`."""
    log_group = logs.LogGroup(
        scope,
        "LogGroup",
        # Log groups under this prefix do not fill up the region's resource policy for log delivery.
        log_group_name=f"/aws/vendedlogs/states/{name}",
        retention=log_retention,
        # The name is fixed: a log group that survived would block the next deployment.
        removal_policy=DataLifetime.TEMPORARY.removal_policy,
    )
    return sfn.StateMachine(
        scope,
        "StateMachine",
        definition_body=sfn.DefinitionBody.from_chainable(states),
        timeout=timeout,
        tracing_enabled=True,
        logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
    )
