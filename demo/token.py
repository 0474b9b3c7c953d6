"""``python -m demo.token``: print an ID token of one of the demo's users, for scripts.

The user gets a new password, and with ``mfa`` a new authenticator, as by every seed; nobody else is touched.
"""

from __future__ import annotations

import argparse
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from demo.accounts import Directory, NoPasswordsError, check_passwords, load
from demo.outputs import remedy
from fmops.deployment import Deployment, DeploymentError

INSTEAD = "sign in at the pages as that user (docs/sign-in.md)"


class NoUserError(Exception):
    """The demo has no such user; real people's passwords are never replaced."""


def id_token(environment: str, username: str) -> str:
    """Return an ID token of the user in the environment. Raises ``NoUserError``, ``NoPasswordsError`` and
    ``DeploymentError``."""
    users = load()["users"]
    if username not in users:
        raise NoUserError(
            f"{username or 'nobody'} is not a user of the demo: give USER= one of {', '.join(users)}. For anybody"
            f" else, {INSTEAD}."
        )
    identity = Deployment(environment).outputs("Identity")
    check_passwords(identity, environment, INSTEAD)
    directory = Directory(
        boto3.client("cognito-idp"),
        user_pool_id=identity["UserPoolId"],
        client_id=identity["UserPoolClientId"],
    )
    directory.create(username, users[username])
    return directory.id_token(username)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.token", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    parser.add_argument("--user", required=True, help="a user of demo/data.yaml")
    options = parser.parse_args(arguments)
    try:
        print(id_token(options.environment, options.user))
    except (BotoCoreError, ClientError, DeploymentError, NoPasswordsError, NoUserError) as error:
        print(remedy(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
