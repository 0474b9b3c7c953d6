"""The demo's users in the deployment's Cognito user pool, and their ID tokens."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyotp

from fmops import written
from fmops.variants.sandbox import Person

DATA = Path(__file__).with_name("data.yaml")


@dataclass
class Account:
    """A user who can sign in."""

    username: str
    password: str
    subject: str
    totp: pyotp.TOTP | None = None


def load() -> dict[str, Any]:
    """Return the demo's data."""
    data = written.read_yaml(DATA)
    missing = {"users", "records", "grants", "tour"} - set(data if isinstance(data, dict) else ())
    if missing:
        raise written.UnreadableFileError(f"{DATA}: {', '.join(sorted(missing))}: missing: add it")
    return dict(data)


def person(username: str, profile: dict[str, Any]) -> Person:
    """Return a user of the demo's data as policies see them."""
    return Person.parse(username, {name: value for name, value in profile.items() if name != "about"})


class Directory:
    """Creates the demo's users with the operator's credentials, and signs them in as the users would."""

    def __init__(self, cognito: Any, *, user_pool_id: str, client_id: str) -> None:
        self._cognito = cognito
        self._pool = user_pool_id
        self._client = client_id
        self._accounts: dict[str, Account] = {}

    def create(self, username: str, profile: dict[str, Any]) -> Account:
        """Create a user, or give an existing one a new password; with ``mfa``, register a software token."""
        password = _password()
        attributes = [
            {"Name": f"custom:{name}", "Value": value}
            for name, value in person(username, profile).attributes.items()
        ]
        attributes += [
            {"Name": "email", "Value": f"{username}@example.com"},
            {"Name": "email_verified", "Value": "true"},
            *([{"Name": "profile", "Value": profile["about"]}] if "about" in profile else []),
        ]
        try:
            self._cognito.admin_create_user(
                UserPoolId=self._pool, Username=username, UserAttributes=attributes, MessageAction="SUPPRESS"
            )
        except self._cognito.exceptions.UsernameExistsException:
            self._cognito.admin_update_user_attributes(
                UserPoolId=self._pool, Username=username, UserAttributes=attributes
            )
        self._cognito.admin_set_user_password(
            UserPoolId=self._pool, Username=username, Password=password, Permanent=True
        )
        for group in profile["groups"]:
            self._cognito.admin_add_user_to_group(UserPoolId=self._pool, Username=username, GroupName=group)
        user = self._cognito.admin_get_user(UserPoolId=self._pool, Username=username)
        subject = next(item["Value"] for item in user["UserAttributes"] if item["Name"] == "sub")
        account = self._accounts[username] = Account(username, password, subject)
        if profile.get("mfa"):
            # The factor of an earlier seed is lost with its process; without it a new one can be registered.
            self._set_totp(username, wanted=False)
            account.totp = self._register_totp(account)
        return account

    def id_token(self, username: str) -> str:
        """Sign in and return the ID token."""
        return str(self._sign_in(self._accounts[username])["IdToken"])

    def _register_totp(self, account: Account) -> pyotp.TOTP:
        access_token = self._sign_in(account)["AccessToken"]
        secret = self._cognito.associate_software_token(AccessToken=access_token)["SecretCode"]
        totp = pyotp.TOTP(secret)
        self._cognito.verify_software_token(AccessToken=access_token, UserCode=totp.now())
        self._set_totp(account.username, wanted=True)
        return totp

    def _set_totp(self, username: str, *, wanted: bool) -> None:
        self._cognito.admin_set_user_mfa_preference(
            UserPoolId=self._pool,
            Username=username,
            SoftwareTokenMfaSettings={"Enabled": wanted, "PreferredMfa": wanted},
        )

    def _sign_in(self, account: Account) -> dict[str, Any]:
        try:
            answer = self._cognito.admin_initiate_auth(
                UserPoolId=self._pool,
                ClientId=self._client,
                AuthFlow="ADMIN_USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": account.username, "PASSWORD": account.password},
            )
        except self._cognito.exceptions.InvalidParameterException as error:
            raise NoPasswordsError(
                "This profile does not let the demo's users sign in with their passwords: set"
                " identity.admin_password_sign_in to true in cdk.json, or use the profile dev."
            ) from error
        if answer.get("ChallengeName") == "SOFTWARE_TOKEN_MFA":
            if account.totp is None:
                raise NoPasswordsError(
                    f"{account.username} has a second factor from an earlier seed: delete the user first"
                )
            answer = self._respond(account, answer["Session"])
        if "AuthenticationResult" not in answer:
            raise NoPasswordsError(
                f"Cognito asks {account.username} for {answer.get('ChallengeName')} first, which only a person can"
                " do: sign in at the pages once, or set identity.mfa to optional."
            )
        result: dict[str, Any] = answer["AuthenticationResult"]
        return result

    def _respond(self, account: Account, session: str) -> dict[str, Any]:
        assert account.totp is not None  # noqa: S101 - the caller checked
        for attempt in range(2):
            try:
                answer: dict[str, Any] = self._cognito.admin_respond_to_auth_challenge(
                    UserPoolId=self._pool,
                    ClientId=self._client,
                    ChallengeName="SOFTWARE_TOKEN_MFA",
                    Session=session,
                    ChallengeResponses={
                        "USERNAME": account.username,
                        "SOFTWARE_TOKEN_MFA_CODE": account.totp.now(),
                    },
                )
            except self._cognito.exceptions.ExpiredCodeException:
                # A code is good for one sign-in; the next code begins within thirty seconds.
                if attempt:
                    raise
                time.sleep(account.totp.interval - time.time() % account.totp.interval)
            else:
                return answer
        raise AssertionError("unreachable")


class NoPasswordsError(LookupError):
    """The demo's users cannot sign in to the deployment."""


def check_passwords(identity: Mapping[str, str], environment: str, instead: str) -> None:
    """Raise NoPasswordsError unless the demo's users can sign in; checked first, so that a refusal leaves
    no users behind. ``instead`` is what else to do."""
    if "UserPoolId" not in identity:
        raise NoPasswordsError(
            f"{environment} has no user pool, since identity.oidc names your own issuer, where the demo cannot"
            f" create users: {instead}"
        )
    client = boto3.client("cognito-idp").describe_user_pool_client(
        UserPoolId=identity["UserPoolId"], ClientId=identity["UserPoolClientId"]
    )
    if "ALLOW_ADMIN_USER_PASSWORD_AUTH" not in client["UserPoolClient"].get("ExplicitAuthFlows", []):
        raise NoPasswordsError(
            f"{environment} signs nobody in by password: the demo's users need identity.admin_password_sign_in,"
            f" which `dev` has, or {instead}"
        )


def _password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(20)) + "aA1!"
