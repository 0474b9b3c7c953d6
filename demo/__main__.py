"""``python -m demo``: seed a deployment in AWS and send it the tour, with the operator's credentials.

It changes nothing that the deployment serves, and prints no token.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from demo import seed
from demo.accounts import NoPasswordsError, check_passwords
from demo.guide import CHAPTERS, every, guide
from demo.outputs import remedy, stack_outputs
from demo.script import script
from demo.visit import Visit
from fmops.deployment import DeploymentError
from local.run.progress import Progress, terminal
from local.run.report import Report

REPORT = Path("build/smoke.html")
"""File of the report."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    parser.add_argument("--url", help="the assistant's address, by default the load balancer's")
    parser.add_argument(
        "--token-from",
        metavar="VARIABLE",
        help="name of an environment variable with a caller's ID token: send the steps that hold for"
        " everyone, and create no users",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also analyse, review and evaluate, which changes the deployment: another prompt serves for a while",
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="also write weeks of made-up traffic into the data lake, for the analysis to compare with: never where"
        " real traffic is captured",
    )
    arguments = parser.parse_args()
    token = os.environ.get(arguments.token_from or "", "").strip()
    if arguments.token_from and not token:
        parser.error(f"the environment variable {arguments.token_from} holds no token")
    if token and arguments.all:
        parser.error("--all needs the demo's users, and --token-from creates none: leave one of them out")
    if arguments.history and not arguments.all:
        parser.error("--history is for the analysis, which --all includes: add --all")
    progress = Progress(terminal(), Report(f"Tour of {arguments.environment}"), REPORT)
    url = ""
    try:
        outputs = stack_outputs(arguments.environment)
        url = (arguments.url or outputs["Assistant"]["AssistantUrl"]).rstrip("/")
        check_reachable(url)
        held = _visit(url, outputs, token, progress, arguments)
    except httpx.HTTPError as error:
        return _stopped(
            progress, f"{url} stopped answering ({type(error).__name__}): read the assistant's log"
        )
    except EXPECTED_FAILURES as error:
        return _stopped(progress, remedy(error))
    return 0 if held else 1


def _visit(
    url: str,
    outputs: Mapping[str, Mapping[str, str]],
    token: str,
    progress: Progress,
    arguments: argparse.Namespace,
) -> bool:
    if token:
        return _given(url, outputs, token, progress)
    return _seeded(url, outputs, progress, arguments)


def _seeded(
    url: str, outputs: Mapping[str, Mapping[str, str]], progress: Progress, arguments: argparse.Namespace
) -> bool:
    """Send the whole tour, as the demo's users."""
    check_passwords(outputs["Identity"], arguments.environment, "give a user's token as TOKEN=")
    visit = Visit(url, outputs, seed.main(outputs), progress, history=arguments.history)
    held = guide(visit, chapters=CHAPTERS if arguments.all else ())
    if not arguments.all:
        left_out = ", ".join(chapter.__module__.removeprefix("demo.") for chapter in every(CHAPTERS))
        progress.say(f"left out, since they change the deployment: {left_out} (ALL=1)")
    progress.say("the demo's users, customers and claims stay in the deployment")
    progress.conclude(f"Open {url}/ and sign in, such as as {', '.join(script().invited)}")
    return held


def _given(url: str, outputs: Mapping[str, Mapping[str, str]], token: str, progress: Progress) -> bool:
    """Send the steps that hold for everyone, as the caller whose token was given."""
    check_token(url, token)
    held = guide(Visit(url, outputs, Caller(token), progress), chapters=(), for_anyone=True)
    progress.say(
        "left out: the steps that need the demo's users and claims, which another caller's token does not have"
    )
    progress.conclude()
    return held


def _stopped(progress: Progress, why: str) -> int:
    """Print why the tour ended early, with what failed before, and return the exit code."""
    if progress.report.sections:
        progress.stop(why)
    else:
        print(why, file=sys.stderr)
    return 2


@dataclass(frozen=True)
class Caller:
    """A caller whose token was given, who stands for each of the demo's users."""

    token: str

    def id_token(self, username: str) -> str:  # noqa: ARG002 - any caller
        return self.token


class UnreachableError(Exception):
    """No assistant answers at the address."""


class TokenError(Exception):
    """The assistant does not accept the token that was given."""


EXPECTED_FAILURES = (
    BotoCoreError,
    ClientError,
    DeploymentError,
    NoPasswordsError,
    TokenError,
    UnreachableError,
)
"""Failures of a deployment, of an account, or of what was given: their messages say what to do."""


def check_token(url: str, token: str) -> None:
    """Raise TokenError unless the assistant accepts the token; the request has a body that is refused in any
    case.
    """
    bearer = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{url.rstrip('/')}/v1/chat/completions", json={}, headers=bearer, timeout=30)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise TokenError(
            "the assistant does not accept the token: give an unexpired ID token from its issuer for its client"
        )


def check_reachable(url: str) -> None:
    """Raise UnreachableError unless the assistant says that it is ready."""
    try:
        answer = urllib3.request("GET", f"{url.rstrip('/')}/readyz", timeout=10, retries=2)
    except urllib3.exceptions.HTTPError as error:
        raise UnreachableError(
            f"nothing answers at {url} ({type(error).__name__}): is the load balancer internal, or your"
            " address not in assistant.ingress_cidrs?"
        ) from None
    if answer.status != 200:
        raise UnreachableError(
            f"{url}/readyz answered {answer.status}: give the assistant's own address as URL="
        )


if __name__ == "__main__":
    sys.exit(main())
