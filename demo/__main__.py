"""``python -m demo``: seeds a deployment in AWS and sends it the tour, with the operator's credentials."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import boto3
import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from demo import seed
from demo.guide import guide
from demo.visit import Visit

STACKS = ("Identity", "Tracking", "Observability", "Capture", "Assistant", "Analysis", "Review")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    parser.add_argument("--url", help="the assistant's address, by default the load balancer's")
    arguments = parser.parse_args()
    try:
        outputs = stack_outputs(arguments.environment)
        url = arguments.url or outputs["Assistant"]["AssistantUrl"]
        check_reachable(url)
        check_passwords(outputs["Identity"], arguments.environment)
        held = guide(Visit(url, outputs, seed.main(outputs), Console()))
    except (BotoCoreError, ClientError, UnreachableError, NoPasswordsError) as error:
        print(_remedy(error, arguments.environment), file=sys.stderr)
        return 2
    return 0 if held else 1


class UnreachableError(Exception):
    """Nothing that is an assistant answers at the address."""


class NoPasswordsError(Exception):
    """The demo's users cannot sign in to the deployment."""


def check_passwords(identity: Mapping[str, str], environment: str) -> None:
    """Raise NoPasswordsError unless the demo's users can sign in: asked first, so that a refusal leaves no users behind."""
    if "UserPoolId" not in identity:
        raise NoPasswordsError(
            f"{environment} has no user pool, since identity.oidc names an issuer of yours: the tour's users cannot be made there"
        )
    client = boto3.client("cognito-idp").describe_user_pool_client(
        UserPoolId=identity["UserPoolId"], ClientId=identity["UserPoolClientId"]
    )
    if "ALLOW_ADMIN_USER_PASSWORD_AUTH" not in client["UserPoolClient"].get("ExplicitAuthFlows", []):
        raise NoPasswordsError(
            f"{environment} signs nobody in by password: the tour needs identity.admin_password_sign_in, which `dev` has"
        )


def check_reachable(url: str) -> None:
    """Raise UnreachableError unless the assistant says that it is ready."""
    try:
        answer = urllib3.request("GET", f"{url.rstrip('/')}/readyz", timeout=10, retries=2)
    except urllib3.exceptions.HTTPError as error:
        raise UnreachableError(
            f"nothing answers at {url} ({type(error).__name__}): is the load balancer internal, or your address not in assistant.ingress_cidrs?"
        ) from None
    if answer.status != 200:
        raise UnreachableError(
            f"{url}/readyz answered {answer.status}: give the assistant's own address as URL="
        )


def _remedy(error: Exception, environment: str) -> str:
    text = str(error)
    if "does not exist" in text:
        return f"{environment} is not deployed in this account and region ({text}): give its PROFILE, and your AWS_REGION."
    return text


def stack_outputs(environment: str) -> dict[str, dict[str, str]]:
    """The outputs of the environment's stacks by stack id."""
    cloudformation = boto3.client("cloudformation")
    return {stack: _outputs(cloudformation, f"{environment}-{stack}") for stack in STACKS}


def _outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    answer = cloudformation.describe_stacks(StackName=stack)
    return {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}


if __name__ == "__main__":
    sys.exit(main())
