"""A state machine that is traced, and logs what it does but not what it is given."""

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
    """Makes `StateMachine` and `LogGroup` in the scope; `name` ends the log group's, whose prefix is Step
    Functions'."""
    log_group = logs.LogGroup(
        scope,
        "LogGroup",
        # Under this prefix log groups do not fill up the region's resource policy for log delivery.
        log_group_name=f"/aws/vendedlogs/states/{name}",
        retention=log_retention,
        # Its name is fixed: one that survived would be in the way of the next deployment.
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
