"""Our additions to moto's Cognito: real TOTP, required MFA, enabled flows, and the pre-token-generation
trigger.
"""

from __future__ import annotations

import io
import time
import zipfile
from typing import Any

import jwt
import pyotp
import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud

PASSWORD = "Correct-horse-9"
TRIGGER = """
def handler(event, context):
    if event["userName"] == "mallory":
        raise ValueError("not her")
    groups = event["request"]["groupConfiguration"]["groupsToOverride"]
    event["response"]["claimsAndScopeOverrideDetails"] = {
        "idTokenGeneration": {"claimsToAddOrOverride": {"seen": ",".join(groups)}},
        "accessTokenGeneration": {"scopesToAdd": ["extra"]},
    }
    return event
"""


class Pool:
    """A pool with one user and one client."""

    def __init__(
        self, cloud: Cloud, *, username: str = "ada", mfa: str = "OPTIONAL", **settings: Any
    ) -> None:
        self.cognito = cloud.client("cognito-idp")
        self.username = username
        self.id = self.cognito.create_user_pool(PoolName="pool", **settings)["UserPool"]["Id"]
        self.cognito.set_user_pool_mfa_config(
            UserPoolId=self.id, MfaConfiguration=mfa, SoftwareTokenMfaConfiguration={"Enabled": True}
        )
        flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH"]
        client = self.cognito.create_user_pool_client(
            UserPoolId=self.id, ClientName="app", ExplicitAuthFlows=flows
        )
        self.client_id = client["UserPoolClient"]["ClientId"]
        self.cognito.admin_create_user(UserPoolId=self.id, Username=username)
        self.cognito.admin_set_user_password(
            UserPoolId=self.id, Username=username, Password=PASSWORD, Permanent=True
        )

    def sign_in(self, password: str = PASSWORD) -> dict[str, Any]:
        answer: dict[str, Any] = self.cognito.admin_initiate_auth(
            UserPoolId=self.id,
            ClientId=self.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": self.username, "PASSWORD": password},
        )
        return answer

    def register_totp(self) -> pyotp.TOTP:
        token = self.sign_in()["AuthenticationResult"]["AccessToken"]
        totp = pyotp.TOTP(self.cognito.associate_software_token(AccessToken=token)["SecretCode"])
        self.cognito.verify_software_token(AccessToken=token, UserCode=totp.now())
        self.cognito.admin_set_user_mfa_preference(
            UserPoolId=self.id,
            Username=self.username,
            SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True},
        )
        return totp

    def answer_challenge(self, session: str, code: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.cognito.admin_respond_to_auth_challenge(
            UserPoolId=self.id,
            ClientId=self.client_id,
            ChallengeName="SOFTWARE_TOKEN_MFA",
            Session=session,
            ChallengeResponses={"USERNAME": self.username, "SOFTWARE_TOKEN_MFA_CODE": code},
        )
        return answer


def wrong(totp: pyotp.TOTP) -> str:
    """Return a code that is none of the accepted ones."""
    accepted = {totp.at(int(time.time()) + 30 * step) for step in range(-2, 3)}
    return next(
        code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in accepted
    )


def test_a_registered_user_is_challenged_and_only_the_right_code_signs_in_once(cloud: Cloud) -> None:
    pool = Pool(cloud)
    totp = pool.register_totp()
    user = pool.cognito.admin_get_user(UserPoolId=pool.id, Username="ada")
    assert user["UserMFASettingList"] == ["SOFTWARE_TOKEN_MFA"]
    challenge = pool.sign_in()
    assert challenge["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
    with pytest.raises(pool.cognito.exceptions.CodeMismatchException):
        pool.answer_challenge(challenge["Session"], wrong(totp))
    code = totp.now()
    assert "IdToken" in pool.answer_challenge(challenge["Session"], code)["AuthenticationResult"]
    with pytest.raises(pool.cognito.exceptions.ExpiredCodeException):
        pool.answer_challenge(pool.sign_in()["Session"], code)


def test_every_user_has_a_secret_of_their_own_and_a_wrong_code_registers_nothing(cloud: Cloud) -> None:
    pool = Pool(cloud)
    token = pool.sign_in()["AuthenticationResult"]["AccessToken"]
    secret = pool.cognito.associate_software_token(AccessToken=token)["SecretCode"]
    other = Pool(cloud, username="bob")
    other_token = other.sign_in()["AuthenticationResult"]["AccessToken"]
    assert other.cognito.associate_software_token(AccessToken=other_token)["SecretCode"] != secret
    with pytest.raises(pool.cognito.exceptions.EnableSoftwareTokenMFAException):
        pool.cognito.verify_software_token(AccessToken=token, UserCode=wrong(pyotp.TOTP(secret)))


def test_required_mfa_demands_setup(cloud: Cloud) -> None:
    pool = Pool(cloud, mfa="ON")
    challenge = pool.sign_in()
    assert challenge["ChallengeName"] == "MFA_SETUP"
    with pytest.raises(pool.cognito.exceptions.NotAuthorizedException):
        pool.cognito.admin_respond_to_auth_challenge(
            UserPoolId=pool.id,
            ClientId=pool.client_id,
            ChallengeName="MFA_SETUP",
            Session=challenge["Session"],
            ChallengeResponses={"USERNAME": "ada"},
        )


def test_wrong_passwords_and_flows_that_are_not_enabled_are_refused(cloud: Cloud) -> None:
    pool = Pool(cloud)
    with pytest.raises(pool.cognito.exceptions.NotAuthorizedException):
        pool.sign_in("Wrong-horse-9")
    arguments = {"ClientId": pool.client_id, "AuthParameters": {"USERNAME": "ada", "PASSWORD": PASSWORD}}
    with pytest.raises(pool.cognito.exceptions.InvalidParameterException, match="not enabled"):
        pool.cognito.initiate_auth(AuthFlow="USER_PASSWORD_AUTH", **arguments)
    with pytest.raises(ClientError, match=r"does not implement.*SRP"):
        pool.cognito.initiate_auth(AuthFlow="USER_SRP_AUTH", **arguments)


@pytest.fixture(scope="module")
def trigger(cloud: Cloud) -> str:
    """Return the ARN of a function with the trigger's code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("handler.py", TRIGGER)
    role = cloud.client("iam").create_role(RoleName="trigger", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    function = cloud.client("lambda").create_function(
        FunctionName="trigger",
        Runtime="python3.13",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": buffer.getvalue()},
    )
    return str(function["FunctionArn"])


def test_the_trigger_changes_both_tokens(cloud: Cloud, trigger: str) -> None:
    config = {"PreTokenGenerationConfig": {"LambdaArn": trigger, "LambdaVersion": "V2_0"}}
    pool = Pool(cloud, LambdaConfig=config)
    pool.cognito.create_group(UserPoolId=pool.id, GroupName="staff")
    pool.cognito.admin_add_user_to_group(UserPoolId=pool.id, Username="ada", GroupName="staff")
    tokens = pool.sign_in()["AuthenticationResult"]
    keys = jwt.PyJWKClient(f"{cloud.endpoint}/{pool.id}/.well-known/jwks.json")

    def claims(token: str) -> dict[str, Any]:
        key = keys.get_signing_key_from_jwt(token).key
        return dict(jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False}))

    identity, access = claims(tokens["IdToken"]), claims(tokens["AccessToken"])
    assert (identity["seen"], identity["cognito:groups"], identity["aud"]) == (
        "staff",
        ["staff"],
        pool.client_id,
    )
    assert "seen" not in access
    assert access["scope"].split() == ["aws.cognito.signin.user.admin", "extra"]


def test_a_trigger_that_fails_refuses_the_sign_in(cloud: Cloud, trigger: str) -> None:
    config = {"PreTokenGenerationConfig": {"LambdaArn": trigger, "LambdaVersion": "V2_0"}}
    pool = Pool(cloud, username="mallory", LambdaConfig=config)
    with pytest.raises(pool.cognito.exceptions.UserLambdaValidationException, match="not her"):
        pool.sign_in()
