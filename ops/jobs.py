"""`python -m ops.jobs <name> --environment fmops-dev [arguments of the job]`: run a deployed job, and follow it
to its end."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fmops.deployment import Deployment, DeploymentError, explained

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
STACKS = {
    "analyse": ("Analysis", "StateMachineArn"),
    "evaluate": ("Review", "EvaluationJobStateMachineArn"),
    "review": ("Review", "StateMachineArn"),
}
"""Stack of each job, and the output that names its state machine."""
LOOK_SECONDS = 0.25
LOOK_GROWTH = 1.1
"""Growth factor of the time between checks: the end of a run is noticed within a tenth of its duration."""
LONGEST_SECONDS = 15.0


class JobError(Exception):
    """A job cannot be started, or has failed; the message says what to do."""


def start(name: str, environment: str, arguments: Sequence[str], *, session: Any = None) -> str:
    """Start an execution of the job's state machine and return its ARN. Raises DeploymentError without such
    a job.
    """
    import boto3

    session = session or boto3.Session()
    machine = Deployment(environment, session=session).output(*STACKS[name])
    given = {"arguments": list(arguments)} if arguments else {}
    execution: str = session.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps(given)
    )["executionArn"]
    return execution


def follow(execution: str, *, session: Any = None, tell: Callable[[str], None] = lambda _: None) -> str:
    """Wait until the execution has ended, passing on the lines of the run's log; return the run's name.

    Raises JobError when it failed.
    """
    import boto3

    session = session or boto3.Session()
    states, log, wait = session.client("stepfunctions"), _Log(session), LOOK_SECONDS
    while True:
        described = states.describe_execution(executionArn=execution)
        for line in log.lines(_run_name(states, execution)):
            tell(line)
        if described["status"] == "SUCCEEDED":
            return str(json.loads(described["output"])["ProcessingJobName"])
        if described["status"] != "RUNNING":
            raise JobError(
                f"{described['status']}: {described.get('cause') or described.get('error') or execution}"
            )
        time.sleep(wait)
        wait = min(wait * LOOK_GROWTH, LONGEST_SECONDS)


class _Log:
    """The lines of a run that have not been shown yet."""

    def __init__(self, session: Any) -> None:
        self._client = session.client("logs")
        self._token: str | None = None

    def lines(self, run: str | None) -> list[str]:
        if run is None:
            return []
        try:
            streams = self._client.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{run}/")
        except self._client.exceptions.ResourceNotFoundException:
            return []
        if not streams["logStreams"]:
            return []
        position = {"nextToken": self._token} if self._token else {}
        answer = self._client.get_log_events(
            logGroupName=LOG_GROUP,
            logStreamName=streams["logStreams"][0]["logStreamName"],
            startFromHead=True,
            **position,
        )
        self._token = answer["nextForwardToken"]
        return [event["message"] for event in answer["events"]]


def _run_name(states: Any, execution: str) -> str | None:
    """Return the name of the execution's processing job, once it has one."""
    for event in states.get_execution_history(executionArn=execution, maxResults=50)["events"]:
        details = event.get("stateEnteredEventDetails", {})
        if details.get("name") == "Wait":
            return str(json.loads(details["input"])["Name"])
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.jobs", description="Run a deployed job, and follow it to its end."
    )
    parser.add_argument("name", choices=sorted(STACKS))
    parser.add_argument("--environment", default="fmops-dev", help="prefix and profile (default: fmops-dev)")
    options, rest = parser.parse_known_args(arguments)
    try:
        follow(start(options.name, options.environment, rest), tell=lambda line: print(line, flush=True))  # noqa: T201
    except (DeploymentError, JobError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except (BotoCoreError, ClientError) as error:
        print(explained(error), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
