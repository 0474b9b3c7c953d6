"""``python -m ops.forget --user carla``: delete a user's records everywhere, and prove it (privacy requests).

It works with the operator's AWS credentials on the stacks of one environment. The account in the user pool
stays.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from fmops.capture.forget import Forgotten, forget, note, requests
from fmops.deployment import Deployment, DeploymentError
from fmops.identity.tokens import Pseudonyms
from fmops.interaction import timestamp
from fmops.review.backend import ReviewUnavailableError
from fmops.review.mlflow_review import MlflowReview
from fmops.tracking import delete_traces

CONTENT_OUTPUT = "ContentTracesExperimentId"
"""Output of the Assistant stack that names the experiment, with `observability.mlflow_traces`."""
PREFIXES = ("interactions", "review", "evaluation", "analysis", "knowledge/drafts", "athena-results")
"""Key prefixes of the lake that hold records or data derived from them, including every key that begins with
one.
"""
PSEUDONYM = re.compile(r"[0-9a-f]{32}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.forget", description=__doc__)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="name in the user pool, `sub`, or a pseudonym from a record")
    who.add_argument(
        "--again",
        action="store_true",
        help="apply all earlier requests to what has arrived since, from a spool or from Firehose",
    )
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    arguments = parser.parse_args()
    try:
        outputs = _outputs(arguments.environment)
        s3, bucket = boto3.client("s3"), outputs["LakeBucketName"]
        if arguments.again:
            return again(s3, bucket, outputs["MlflowArn"], outputs.get(CONTENT_OUTPUT, ""))
        user = _pseudonym(arguments.user, outputs)
        # Noted first, so that nothing that arrives from now on is missed.
        note(s3, bucket, user, timestamp())
        found = forget(s3, bucket, user, PREFIXES, progress=_say)
        _say("deleting the traces of review in MLflow")
        traces = MlflowReview(outputs["MlflowArn"]).forget(user)
        content = _delete_content(outputs["MlflowArn"], outputs.get(CONTENT_OUTPUT, ""), found)
    except (BotoCoreError, ClientError, DeploymentError, LookupError, ReviewUnavailableError) as error:
        print(f"the deletion is not proven: {error}", file=sys.stderr)
        return 2
    print(
        f"{traces} traces of review, with their labels, and {content} traces with content deleted from MLflow."
    )
    return report(arguments.user, user, found)


def again(s3: Any, bucket: str, mlflow: str, content_experiment: str = "") -> int:
    """Apply every request to what has arrived since; return 1 when something is left."""
    left = 0
    for user, before in requests(s3, bucket).items():
        found = forget(s3, bucket, user, PREFIXES, before=before, progress=_say)
        traces = MlflowReview(mlflow).forget(user, found.interactions) if found.interactions else 0
        traces += _delete_content(mlflow, content_experiment, found)
        left += len(found.left)
        print(
            f"{user} (asked {before}): {found.lines.total()} lines of {len(found.interactions)} "
            f"interactions had arrived since; {found.objects.total()} objects changed, "
            f"{found.versions.total()} old versions and {traces} traces deleted, {len(found.left)} "
            "left."
        )
    return int(bool(left))


def report(name: str, user: str, found: Forgotten) -> int:
    """Print what was done; return 1 when something is left."""
    print(f"{name} is {user} in the records, with {len(found.interactions)} interactions.")
    print(f"{'prefix':24} {'lines removed':>14} {'objects changed':>16} {'old versions deleted':>21}")
    for prefix in PREFIXES:
        print(f"{prefix:24} {found.lines[prefix]:14} {found.objects[prefix]:16} {found.versions[prefix]:21}")
    if found.left:
        print(f"LEFT in {len(found.left)} objects: {', '.join(found.left[:5])}. Run this again.")
        return 1
    print("Looked again at every version of every object: nothing is left.")
    print(
        "Records that still wait in a task's spool or in Firehose are noted: the review job leaves "
        "them out, and rings when one arrives; `make forget AGAIN=1` then deletes it.\n"
        "Not covered: approvals, which expire after three days; X-Ray's traces, which hold the pseudonym only; "
        "traces with content of interactions whose record has expired."
    )
    return 0


def _delete_content(mlflow: str, experiment: str, found: Forgotten) -> int:
    """Delete the traces with prompts and answers of what was found, in a deployment that makes them; return how
    many."""
    if not experiment or not found.traces:
        return 0
    from mlflow.exceptions import MlflowException

    try:
        return delete_traces(mlflow, experiment, found.traces)
    except MlflowException as error:
        raise ReviewUnavailableError(
            f"MLflow did not delete traces ({error.error_code}): run this again"
        ) from error


def _pseudonym(user: str, outputs: Mapping[str, str]) -> str:
    if PSEUDONYM.fullmatch(user):
        return user
    key = boto3.client("secretsmanager").get_secret_value(SecretId=outputs["PseudonymKeyArn"])["SecretString"]
    cognito = boto3.client("cognito-idp")
    found = cognito.list_users(UserPoolId=outputs["UserPoolId"], Filter=f'sub = "{user}"', Limit=1)["Users"]
    try:
        account = (
            found[0] if found else cognito.admin_get_user(UserPoolId=outputs["UserPoolId"], Username=user)
        )
    except cognito.exceptions.UserNotFoundException:
        raise LookupError(
            f"there is no user {user!r} in the pool: give a deleted user's pseudonym from a record instead"
        ) from None
    attributes = account.get("Attributes", account.get("UserAttributes", ()))
    subject = next(each["Value"] for each in attributes if each["Name"] == "sub")
    return Pseudonyms(key).user(subject)


def _outputs(environment: str) -> dict[str, str]:
    deployment = Deployment(environment)
    outputs: dict[str, str] = {}
    for stack in ("Identity", "Tracking", "Capture", "Assistant"):
        outputs |= deployment.outputs(stack)
    return outputs


def _say(message: str) -> None:
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
