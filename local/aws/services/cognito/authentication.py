"""Sign-in by Cognito's API: real verification of TOTP, required MFA, and the flows that a client allows."""

from __future__ import annotations

import uuid
from typing import Any

import pyotp

from local.aws.kernel.api import (
    FALL_THROUGH,
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    ServiceState,
    operation,
)
from local.aws.kernel.cloud import Cloud
from local.aws.services.cognito.grants import Grants
from local.aws.services.cognito.pools import SERVICE, backend, pool_of_client
from local.aws.services.cognito.triggers import issuing

TOTP_WINDOW = 1  # accepted steps of 30 s before and after
SOFTWARE_TOKEN = "SOFTWARE_TOKEN_MFA"
FLOW_PERMISSIONS = {
    "ADMIN_NO_SRP_AUTH": "ADMIN_USER_PASSWORD_AUTH",
    "REFRESH_TOKEN": "REFRESH_TOKEN_AUTH",
}
REFRESHES = ("REFRESH_TOKEN", "REFRESH_TOKEN_AUTH")


class SoftwareTokens(ServiceState):
    """TOTP secrets by pool and user. moto gives every user the same secret and accepts every code."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.secrets: dict[tuple[str, str], str] = {}
        self._used: set[tuple[str, str, str]] = set()

    def check(self, pool_id: str, username: str, code: str | None) -> bool:
        secret = self.secrets.get((pool_id, username))
        return bool(secret and code and pyotp.TOTP(secret).verify(code, valid_window=TOTP_WINDOW))

    def use(self, pool_id: str, username: str, code: str | None) -> None:
        """Check the code of a sign-in; each code is good for one sign-in only."""
        if not self.check(pool_id, username, code):
            raise ServiceError("CodeMismatchException", "Invalid code received for user")
        used = (pool_id, username, str(code))
        if used in self._used:
            raise ServiceError("ExpiredCodeException", "Your software token has already been used once.")
        self._used.add(used)


def _user_of(params: Params, context: Context) -> tuple[Any, Any]:
    """Return (pool, user) of a session or an access token."""
    found = backend(context)
    session, token = params.get("Session"), params.get("AccessToken")
    if session:
        if session not in found.sessions:
            raise ServiceError("NotAuthorizedException", "Invalid session for the user.")
        username, pool = found.sessions[session]
        return pool, found.admin_get_user(pool.id, username)
    for pool in found.user_pools.values():
        if token in pool.access_tokens:
            return pool, found.admin_get_user(pool.id, pool.access_tokens[token][1])
    raise ServiceError("NotAuthorizedException", "Invalid Access Token")


@operation(SERVICE, "AssociateSoftwareToken")
def associate_software_token(params: Params, context: Context) -> Params:
    pool, user = _user_of(params, context)
    secret = pyotp.random_base32(52)
    context.state(SoftwareTokens).secrets[pool.id, user.username] = secret
    return {"SecretCode": secret, "Session": params.get("Session")}


@operation(SERVICE, "VerifySoftwareToken")
def verify_software_token(params: Params, context: Context) -> Any:
    pool, user = _user_of(params, context)
    if not context.state(SoftwareTokens).check(pool.id, user.username, params["UserCode"]):
        raise ServiceError(
            "EnableSoftwareTokenMFAException", "Code mismatch and fail enable Software Token MFA"
        )
    return FALL_THROUGH


@operation(SERVICE, "InitiateAuth")
def initiate_auth(params: Params, context: Context) -> Params:
    found = backend(context)
    pool = pool_of_client(found, params["ClientId"])
    return _sign_in(pool, found.initiate_auth, (params["ClientId"],), params, context)


@operation(SERVICE, "AdminInitiateAuth")
def admin_initiate_auth(params: Params, context: Context) -> Params:
    found = backend(context)
    pool = found.describe_user_pool(params["UserPoolId"])
    if params["ClientId"] not in pool.clients:
        raise ServiceError(
            "ResourceNotFoundException", f"User pool client {params['ClientId']} does not exist."
        )
    return _sign_in(pool, found.admin_initiate_auth, (pool.id, params["ClientId"]), params, context)


def _sign_in(pool: Any, moto_sign_in: Any, ids: tuple[str, ...], params: Params, context: Context) -> Params:
    client, flow = pool.clients[params["ClientId"]].extended_config, params["AuthFlow"]
    permission = f"ALLOW_{FLOW_PERMISSIONS.get(flow, flow)}"
    if permission not in (client.get("ExplicitAuthFlows") or []):
        raise ServiceError("InvalidParameterException", f"Auth flow not enabled for this client: {flow}")
    if flow == "USER_SRP_AUTH":
        raise NotImplementedHere("USER_SRP_AUTH: moto does not check the proof of the password")
    parameters = params.get("AuthParameters") or {}
    if flow in REFRESHES:
        grants = context.state(Grants)
        grant = grants.valid(pool, params["ClientId"], parameters.get("REFRESH_TOKEN", "")).grant
        with issuing(grants.issue(grant)):
            refreshed: Params = moto_sign_in(*ids, flow, parameters)
        return refreshed
    try:
        result: Params = moto_sign_in(*ids, flow, parameters)
    except Exception as error:
        hides = client.get("PreventUserExistenceErrors") == "ENABLED"
        if type(error).__name__ in ("NotAuthorizedError", "UserNotFoundError") and "USERNAME" in parameters:
            if type(error).__name__ == "UserNotFoundError" and not hides:
                raise
            message = str(getattr(error, "message", error))
            generic = "Incorrect username or password."
            raise ServiceError(
                "NotAuthorizedException", message if "disabled" in message else generic
            ) from error
        raise
    needs_setup = pool.mfa_config == "ON" and "AuthenticationResult" in result and "USERNAME" in parameters
    if needs_setup and not pool._get_user(parameters["USERNAME"]).software_token_mfa_enabled:
        session = str(uuid.uuid4())
        backend(context).sessions[session] = (parameters["USERNAME"], pool)
        return {
            "ChallengeName": "MFA_SETUP",
            "ChallengeParameters": {"MFAS_CAN_SETUP": f'["{SOFTWARE_TOKEN}"]'},
            "Session": session,
        }
    return result


@operation(SERVICE, "RespondToAuthChallenge")
@operation(SERVICE, "AdminRespondToAuthChallenge")
def respond_to_auth_challenge(params: Params, context: Context) -> Any:
    challenge, responses = params["ChallengeName"], params.get("ChallengeResponses") or {}
    if challenge == SOFTWARE_TOKEN:
        pool, user = _user_of(params, context)
        context.state(SoftwareTokens).use(pool.id, user.username, responses.get("SOFTWARE_TOKEN_MFA_CODE"))
    elif challenge == "MFA_SETUP":
        _, user = _user_of(params, context)
        if not user.token_verified:
            raise ServiceError("NotAuthorizedException", "The user has not verified a software token")
        user.software_token_mfa_enabled = True
    elif challenge != "NEW_PASSWORD_REQUIRED":
        raise NotImplementedHere(f"challenge {challenge}")
    return FALL_THROUGH
