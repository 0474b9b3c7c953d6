"""Cognito on moto, with what moto leaves out: real verification of TOTP, required MFA, and the
pre-token-generation trigger."""

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
from local.aws.kernel.cloud import Cloud, install_routes
from local.aws.services.lambda_ import Functions

SERVICE = "cognito-idp"
TOTP_WINDOW = 1  # accepted steps of 30 s before and after
SOFTWARE_TOKEN = "SOFTWARE_TOKEN_MFA"
FLOW_PERMISSIONS = {
    "ADMIN_NO_SRP_AUTH": "ADMIN_USER_PASSWORD_AUTH",
    "REFRESH_TOKEN": "REFRESH_TOKEN_AUTH",
}


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


def _backend(context: Context) -> Any:
    from moto.cognitoidp.models import cognitoidp_backends

    return cognitoidp_backends[context.account][context.region or context.cloud.region]


def _user_of(params: Params, context: Context) -> tuple[Any, Any]:
    """Return (pool, user) of a session or an access token."""
    backend = _backend(context)
    session, token = params.get("Session"), params.get("AccessToken")
    if session:
        if session not in backend.sessions:
            raise ServiceError("NotAuthorizedException", "Invalid session for the user.")
        username, pool = backend.sessions[session]
        return pool, backend.admin_get_user(pool.id, username)
    for pool in backend.user_pools.values():
        if token in pool.access_tokens:
            return pool, backend.admin_get_user(pool.id, pool.access_tokens[token][1])
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
    backend = _backend(context)
    pool = next((pool for pool in backend.user_pools.values() if params["ClientId"] in pool.clients), None)
    if pool is None:
        raise ServiceError(
            "ResourceNotFoundException", f"User pool client {params['ClientId']} does not exist."
        )
    return _sign_in(pool, backend.initiate_auth, (params["ClientId"],), params, context)


@operation(SERVICE, "AdminInitiateAuth")
def admin_initiate_auth(params: Params, context: Context) -> Params:
    backend = _backend(context)
    pool = backend.describe_user_pool(params["UserPoolId"])
    if params["ClientId"] not in pool.clients:
        raise ServiceError(
            "ResourceNotFoundException", f"User pool client {params['ClientId']} does not exist."
        )
    return _sign_in(pool, backend.admin_initiate_auth, (pool.id, params["ClientId"]), params, context)


def _sign_in(pool: Any, moto_sign_in: Any, ids: tuple[str, ...], params: Params, context: Context) -> Params:
    client, flow = pool.clients[params["ClientId"]].extended_config, params["AuthFlow"]
    permission = f"ALLOW_{FLOW_PERMISSIONS.get(flow, flow)}"
    if permission not in (client.get("ExplicitAuthFlows") or []):
        raise ServiceError("InvalidParameterException", f"Auth flow not enabled for this client: {flow}")
    if flow == "USER_SRP_AUTH":
        raise NotImplementedHere("USER_SRP_AUTH: moto does not check the proof of the password")
    parameters = params.get("AuthParameters") or {}
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
        _backend(context).sessions[session] = (parameters["USERNAME"], pool)
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


@install_routes
def _install_trigger(cloud: Cloud) -> None:
    """Make moto's pools of this cloud call their pre-token-generation function whenever they make tokens."""
    from moto.cognitoidp.models import CognitoIdpUserPool

    original = getattr(CognitoIdpUserPool.create_jwt, "without_trigger", CognitoIdpUserPool.create_jwt)
    # one invocation serves both the access token and the ID token of a sign-in
    overrides: dict[str, Params] = {}

    def create_jwt(
        pool: Any,
        client_id: str,
        username: str,
        token_use: str,
        expires_in: int = 60 * 60,
        extra_data: Params | None = None,
    ) -> tuple[str, int]:
        claims = dict(extra_data or {})
        function, version = _trigger(pool)
        if function:
            key = claims["origin_jti"]
            details = overrides.pop(key, None)
            if details is None:
                details = overrides[key] = _invoke_trigger(
                    cloud, pool, function, version, client_id, username
                )
            _override(claims, details, token_use, version)
        signed: tuple[str, int] = original(pool, client_id, username, token_use, expires_in, claims)
        return signed

    create_jwt.without_trigger = original  # type: ignore[attr-defined]
    setattr(CognitoIdpUserPool, "create_jwt", create_jwt)  # noqa: B010 - typed code forbids the assignment


def _trigger(pool: Any) -> tuple[str | None, str]:
    config = pool.extended_config.get("LambdaConfig") or {}
    versioned = config.get("PreTokenGenerationConfig")
    if versioned:
        return versioned["LambdaArn"], versioned["LambdaVersion"]
    return config.get("PreTokenGeneration"), "V1_0"


def _invoke_trigger(
    cloud: Cloud, pool: Any, function: str, version: str, client_id: str, username: str
) -> Params:
    user = pool._get_user(username)
    attributes = {each["Name"]: each["Value"] for each in user.attributes}
    event = {
        "version": version[1],
        "triggerSource": "TokenGeneration_Authentication",
        "region": pool.region,
        "userPoolId": pool.id,
        "userName": username,
        "callerContext": {"awsSdkVersion": "local", "clientId": client_id},
        "request": {
            "userAttributes": {**attributes, "sub": user.id, "cognito:user_status": str(user.status)},
            "groupConfiguration": {
                "groupsToOverride": [group.group_name for group in user.groups],
                "iamRolesToOverride": [],
                "preferredRole": None,
            },
            "scopes": ["aws.cognito.signin.user.admin"],
        },
        "response": {},
    }
    result, failed = cloud.state(Functions).function(function).invoke(event)
    if failed:
        raise ServiceError(
            "UserLambdaValidationException", f"PreTokenGeneration failed with error {result['errorMessage']}."
        )
    response = (result or {}).get("response") or {}
    return dict(response.get("claimsAndScopeOverrideDetails") or response.get("claimsOverrideDetails") or {})


def _override(claims: Params, details: Params, token_use: str, version: str) -> None:
    """Apply the function's answer: V1 changes the ID token, V2 and later each token by its own part."""
    if version == "V1_0":
        generation = details if token_use == "id" else {}
    else:
        generation = details.get("idTokenGeneration" if token_use == "id" else "accessTokenGeneration") or {}
    for name in generation.get("claimsToSuppress") or []:
        claims.pop(name, None)
    claims.update(generation.get("claimsToAddOrOverride") or {})
    groups = details.get("groupOverrideDetails") or {}
    if groups.get("groupsToOverride") is not None:
        claims["cognito:groups"] = groups["groupsToOverride"]
    if token_use == "access":
        scopes = [
            scope
            for scope in claims.get("scope", "").split()
            if scope not in (generation.get("scopesToSuppress") or [])
        ]
        claims["scope"] = " ".join([*scopes, *(generation.get("scopesToAdd") or [])])
