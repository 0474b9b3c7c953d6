"""EventBridge Scheduler: schedules are stored, and fire on request (`POST /_local/schedules/<name>`) instead of
by a clock."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Response

STATES, FUNCTIONS = "arn:aws:states:", "arn:aws:lambda:"


def fire(cloud: Cloud, name: str, *, group: str = "default", at: datetime | None = None) -> str:
    """Do what the schedule would do at a time (UTC, now by default), under its role, and return
    the ARN of the execution, or of the function that was invoked.

    Raises LookupError if there is no such schedule or its target is neither a state machine nor a function.
    """
    scheduler = cloud.client("scheduler")
    try:
        schedule = scheduler.get_schedule(Name=name, GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException as error:
        raise LookupError(f"there is no schedule {name} in the group {group}") from error
    target = schedule["Target"]
    arn: str = target["Arn"]
    if not arn.startswith((STATES, FUNCTIONS)):
        raise LookupError(f"schedule {name} starts {arn}: only state machines and functions are started here")
    # The source is the group, not the schedule (its guide, "Confused deputy prevention").
    source = f"arn:aws:scheduler:{cloud.region}:{cloud.account}:schedule-group/{group}"
    role = cloud.assume(target["RoleArn"], "scheduler.amazonaws.com", session="scheduler", source_arn=source)
    text = _input(target.get("Input", "{}"), schedule, at or datetime.now(UTC))
    if arn.startswith(FUNCTIONS):
        cloud.client("lambda", role=role).invoke(FunctionName=arn, InvocationType="Event", Payload=text)
        return arn
    states = cloud.client("stepfunctions", role=role)
    execution: str = states.start_execution(stateMachineArn=arn, input=text)["executionArn"]
    return execution


def _input(text: str, schedule: dict[str, Any], at: datetime) -> str:
    """Return the input with the context attributes that a schedule may name (EventBridge Scheduler User
    Guide).
    """
    values = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


@install_routes
def _install(cloud: Cloud) -> None:
    def post(_: dict[str, Any], match: re.Match[str]) -> Response:
        try:
            return Response(200, json.dumps({"executionArn": fire(cloud, match["name"])}))
        except LookupError as error:
            return Response(404, json.dumps({"message": str(error)}))

    cloud.routes.append(Route(re.compile(r"^/_local/schedules/(?P<name>[\w.-]+)$"), post))
