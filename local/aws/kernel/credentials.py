"""Temporary credentials of roles, by which the access key of a request identifies its signer."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from local.aws.kernel.api import Caller

ADMIN_ACCESS_KEY = "AKIALOCALDEVELOPER00"
ADMIN_SECRET_KEY = "local"
LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class TemporaryCredentials:
    access_key: str
    secret_key: str
    token: str
    expiration: datetime
    role_arn: str
    caller: Caller

    def container_provider_answer(self) -> dict[str, str]:
        """Return what botocore's ContainerProvider reads from AWS_CONTAINER_CREDENTIALS_FULL_URI."""
        return {
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.token,
            "Expiration": self.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "RoleArn": self.role_arn,
        }

    def environment(self) -> dict[str, str]:
        """Return the credentials as Lambda puts them into a function's environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
        }


class CredentialStore:
    """Issues credentials and resolves access keys. Signatures are not verified: knowing the key is enough."""

    def __init__(self, account: str) -> None:
        self._issued: dict[str, TemporaryCredentials] = {}
        self.admin = Caller(arn=f"arn:aws:iam::{account}:user/local-developer", access_key=ADMIN_ACCESS_KEY)
        self.anonymous = Caller(arn="anonymous")

    def issue(self, role_arn: str, session_name: str) -> TemporaryCredentials:
        account, role_path = role_arn.split(":", 5)[4:]
        role_name = role_path.rsplit("/", 1)[-1]
        access_key = "ASIA" + secrets.token_hex(8).upper()
        credentials = TemporaryCredentials(
            access_key=access_key,
            secret_key=secrets.token_urlsafe(30),
            token=secrets.token_urlsafe(60),
            expiration=datetime.now(UTC) + LIFETIME,
            role_arn=role_arn,
            caller=Caller(
                arn=f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}",
                role_arn=role_arn,
                access_key=access_key,
            ),
        )
        self._issued[access_key] = credentials
        return credentials

    def caller(self, access_key: str | None) -> Caller | None:
        """Return the caller with an access key, or None if the key was never issued here."""
        if access_key is None:
            return self.anonymous
        if access_key == ADMIN_ACCESS_KEY:
            return self.admin
        issued = self._issued.get(access_key)
        return issued.caller if issued else None
