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

STATES = "arn:aws:states:"


def fire(cloud: Cloud, name: str, *, group: str = "default", at: datetime | None = None) -> str:
    """Do what the schedule would do at a time (UTC, now by default), under its role, and return
    the execution's ARN.

    Raises LookupError if there is no such schedule or its target is not a state machine.
    """
    scheduler = cloud.client("scheduler")
    try:
        schedule = scheduler.get_schedule(Name=name, GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException as error:
        raise LookupError(f"there is no schedule {name} in the group {group}") from error
    target = schedule["Target"]
    if not target["Arn"].startswith(STATES):
        raise LookupError(f"schedule {name} starts {target['Arn']}: only state machines are started here")
    # The source is the group, not the schedule (its guide, "Confused deputy prevention").
    source = f"arn:aws:scheduler:{cloud.region}:{cloud.account}:schedule-group/{group}"
    role = cloud.assume(target["RoleArn"], "scheduler.amazonaws.com", session="scheduler", source_arn=source)
    execution: str = cloud.client("stepfunctions", role=role).start_execution(
        stateMachineArn=target["Arn"],
        input=_input(target.get("Input", "{}"), schedule, at or datetime.now(UTC)),
    )["executionArn"]
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
