"""Managed login of the local AWS, used as an OAuth 2.0 client uses it."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable

import httpx
import jwt
import pytest

from local.aws.kernel.cloud import Cloud
from tests.local.sign_in_client import (
    CALLBACK,
    HOME,
    OAUTH,
    PASSWORD,
    Browser,
    SignInPool,
    refusal,
    returned_to,
)

SOURCES = """
def handler(event, context):
    claims = {"source": event["triggerSource"], "scopes": " ".join(event["request"]["scopes"])}
    if event["userName"] == "mallory":
        raise ValueError("not her")
    event["response"]["claimsAndScopeOverrideDetails"] = {
        "idTokenGeneration": {"claimsToAddOrOverride": claims}
    }
    return event
"""


def test_a_sign_in_from_discovery_to_the_checked_id_token(visitor: Browser) -> None:
    tokens = visitor.sign_in()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    claims = visitor.claims(tokens["id_token"])
    assert (claims["cognito:username"], claims["token_use"]) == ("ada", "id")
    assert claims["nonce"] == visitor.nonce
    assert "profile" not in claims, "the client may not read it"
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    access = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (access["scope"], access["client_id"]) == ("openid", visitor.pool.client_id)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"scope": "openid email"}, "invalid_scope"),
        ({"scope": "openid aws.cognito.signin.user.admin"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_bad_request_returns_to_the_application_with_the_error(
    visitor: Browser, changes: dict[str, str | None], error: str
) -> None:
    returned = returned_to(visitor.authorize(**changes))
    assert (returned["error"], returned["state"]) == (error, visitor.state)
    assert "code" not in returned


@pytest.mark.parametrize(
    "address",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        "http://localhost:8081/signed-in",
        "http://127.0.0.1:8080/signed-in",
        "https://evil.example/signed-in",
        "HTTP://localhost:8080/signed-in",
        "",
    ],
)
def test_only_the_exact_redirect_address_is_returned_to(visitor: Browser, address: str) -> None:
    answer = visitor.authorize(redirect_uri=address)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "redirect_mismatch" in answer.text


def test_an_unknown_client_or_domain_gets_a_page(visitor: Browser) -> None:
    assert visitor.authorize(client_id="stranger").status_code == 400
    unknown = visitor.endpoints["authorization_endpoint"].replace(visitor.pool.domain, "nobody")
    assert httpx.get(unknown, params=visitor.request()).status_code == 404


def test_a_code_is_good_once(visitor: Browser) -> None:
    code = visitor.code()
    assert visitor.exchange(code).status_code == 200
    assert refusal(visitor.exchange(code)) == "invalid_grant"


def test_a_code_is_good_for_five_minutes(visitor: Browser, later: Callable[[float], None]) -> None:
    early, late = visitor.code(), Browser(visitor.pool)
    later(299)
    assert visitor.exchange(early).status_code == 200
    code = late.code()
    later(300)
    assert refusal(late.exchange(code)) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"redirect_uri": HOME}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"client_id": "stranger"}, "invalid_client"),
        ({"client_id": None}, "invalid_request"),
    ],
)
def test_a_code_is_bound_to_its_verifier_address_and_client(
    visitor: Browser, changes: dict[str, str | None], error: str
) -> None:
    assert refusal(visitor.exchange(visitor.code(), **changes)) == error


def test_a_wrong_verifier_uses_the_code_up(visitor: Browser) -> None:
    code = visitor.code()
    assert refusal(visitor.exchange(code, code_verifier="w" * 43)) == "invalid_grant"
    assert refusal(visitor.exchange(code)) == "invalid_grant"


def test_a_code_of_another_client_or_pool_is_refused(cloud: Cloud, visitor: Browser) -> None:
    other = visitor.pool.cognito.create_user_pool_client(
        UserPoolId=visitor.pool.id, ClientName="other", **OAUTH
    )["UserPoolClient"]["ClientId"]
    assert refusal(visitor.exchange(visitor.code(), client_id=other)) == "invalid_grant"
    elsewhere = Browser(SignInPool(cloud))
    elsewhere.verifier = visitor.verifier
    assert refusal(elsewhere.exchange(visitor.code(prompt="login"))) == "invalid_grant"


def test_other_grant_types_and_other_bodies_are_refused(visitor: Browser) -> None:
    assert refusal(visitor.token(grant_type="password", username="ada")) == "unsupported_grant_type"
    assert refusal(visitor.token()) == "invalid_request"
    url = visitor.endpoints["token_endpoint"]
    assert refusal(httpx.post(url, json={"grant_type": "refresh_token"})) == "invalid_request"
    twice = f"grant_type=refresh_token&client_id={visitor.pool.client_id}&client_id=x"
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert refusal(httpx.post(url, content=twice, headers=form)) == "invalid_request"
    assert httpx.get(url).status_code == 405


def test_browsers_of_any_origin_may_call_the_token_endpoint(visitor: Browser) -> None:
    for name in ("token_endpoint", "revocation_endpoint", "userinfo_endpoint"):
        answer = httpx.options(visitor.endpoints[name], headers={"origin": "http://localhost:8080"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]


def test_refresh_tokens_rotate_and_the_sign_in_keeps_its_time(
    visitor: Browser, later: Callable[[float], None]
) -> None:
    first = visitor.sign_in()
    began = visitor.claims(first["id_token"])["auth_time"]
    later(1000)
    second = visitor.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    claims = visitor.claims(second["id_token"])
    assert claims["auth_time"] == began
    assert "nonce" not in claims
    third = visitor.refresh(second["refresh_token"]).json()
    assert visitor.claims(third["id_token"])["auth_time"] == began


def test_a_rotated_token_is_good_within_the_grace_period_only(
    visitor: Browser, later: Callable[[float], None]
) -> None:
    first = visitor.sign_in()["refresh_token"]
    visitor.refresh(first).raise_for_status()
    later(59)
    again = visitor.refresh(first).raise_for_status().json()["refresh_token"]
    later(1)
    assert refusal(visitor.refresh(first)) == "invalid_grant"
    assert visitor.refresh(again).status_code == 200, "the newest stays good"
    cognito = visitor.pool.cognito
    with pytest.raises(cognito.exceptions.RefreshTokenReuseException):
        cognito.get_tokens_from_refresh_token(RefreshToken=first, ClientId=visitor.pool.client_id)


def test_rotation_does_not_prolong_the_session(cloud: Cloud, later: Callable[[float], None]) -> None:
    hours = {"RefreshTokenValidity": 10, "TokenValidityUnits": {"RefreshToken": "hours"}}
    visitor = Browser(SignInPool(cloud, **hours))
    token = visitor.sign_in()["refresh_token"]
    later(35_000)
    token = visitor.refresh(token).json()["refresh_token"]
    later(1000)
    assert refusal(visitor.refresh(token)) == "invalid_grant"


def test_without_rotation_the_refresh_token_stays(cloud: Cloud) -> None:
    visitor = Browser(SignInPool(cloud, RefreshTokenRotation={"Feature": "DISABLED"}))
    token = visitor.sign_in()["refresh_token"]
    for _ in range(2):
        assert "refresh_token" not in visitor.refresh(token).raise_for_status().json()


def test_a_revoked_token_ends_the_whole_sign_in(visitor: Browser) -> None:
    first = visitor.sign_in()
    second = visitor.refresh(first["refresh_token"]).json()
    form = {"client_id": visitor.pool.client_id, "token": second["refresh_token"]}
    answer = httpx.post(visitor.endpoints["revocation_endpoint"], data=form)
    assert (answer.status_code, answer.text) == (200, "")
    for token in (first, second):
        assert refusal(visitor.refresh(token["refresh_token"])) == "invalid_grant"
    bearer = {"authorization": f"Bearer {second['access_token']}"}
    assert httpx.get(visitor.endpoints["userinfo_endpoint"], headers=bearer).status_code == 401


def test_what_cannot_be_revoked(visitor: Browser) -> None:
    url, client = visitor.endpoints["revocation_endpoint"], {"client_id": visitor.pool.client_id}
    assert httpx.post(url, data={**client, "token": "unknown"}).status_code == 200
    access = visitor.sign_in()["access_token"]
    assert refusal(httpx.post(url, data={**client, "token": access})) == "unsupported_token_type"
    assert refusal(httpx.post(url, data=client)) == "invalid_request"


def test_revocation_and_rotation_by_the_api(visitor: Browser) -> None:
    cognito, client = visitor.pool.cognito, visitor.pool.client_id
    token = visitor.sign_in()["refresh_token"]
    tokens = cognito.get_tokens_from_refresh_token(RefreshToken=token, ClientId=client)[
        "AuthenticationResult"
    ]
    assert "IdToken" in tokens
    cognito.revoke_token(Token=tokens["RefreshToken"], ClientId=client)
    with pytest.raises(cognito.exceptions.NotAuthorizedException):
        cognito.get_tokens_from_refresh_token(RefreshToken=tokens["RefreshToken"], ClientId=client)


def test_signing_out_everywhere_and_disabling_end_refreshes(visitor: Browser) -> None:
    pool = visitor.pool
    pool.add_user("eve")
    token = visitor.sign_in("eve")["refresh_token"]
    pool.cognito.admin_user_global_sign_out(UserPoolId=pool.id, Username="eve")
    assert refusal(visitor.refresh(token)) == "invalid_grant"
    again = Browser(pool)
    token, code = again.sign_in("eve")["refresh_token"], again.code("eve", prompt="login")
    pool.cognito.admin_disable_user(UserPoolId=pool.id, Username="eve")
    assert refusal(again.refresh(token)) == "invalid_grant"
    assert refusal(again.exchange(code)) == "invalid_grant"
    assert "eve" not in again.login_page(prompt="login").text


def test_a_pool_without_a_domain_tells_no_sign_in_endpoints(cloud: Cloud) -> None:
    cognito = cloud.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="plain")["UserPool"]["Id"]
    document = httpx.get(f"{cloud.endpoint}/{pool}/.well-known/openid-configuration").json()
    assert document["issuer"].endswith(pool)
    assert not {name for name in document if name.endswith("_endpoint")}
    assert (
        httpx.get(f"{cloud.endpoint}/us-east-1_nothing/.well-known/openid-configuration").status_code == 400
    )


def test_the_trigger_hears_where_tokens_come_from(cloud: Cloud) -> None:
    config = {"PreTokenGenerationConfig": {"LambdaArn": _function(cloud), "LambdaVersion": "V2_0"}}
    pool = SignInPool(cloud, pool={"LambdaConfig": config})
    visitor = Browser(pool)
    tokens = visitor.sign_in()
    claims = visitor.claims(tokens["id_token"])
    assert (claims["source"], claims["scopes"]) == ("TokenGeneration_HostedAuth", "openid")
    refreshed = visitor.refresh(tokens["refresh_token"]).json()
    assert visitor.claims(refreshed["id_token"])["source"] == "TokenGeneration_RefreshTokens"
    pool.add_user("mallory")
    assert refusal(Browser(pool).exchange(visitor.code("mallory", prompt="login"))) == "invalid_grant"


def _function(cloud: Cloud) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("handler.py", SOURCES)
    role = cloud.client("iam").create_role(RoleName="sources", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    function = cloud.client("lambda").create_function(
        FunctionName="sources",
        Runtime="python3.13",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": buffer.getvalue()},
    )
    return str(function["FunctionArn"])


def test_tokens_of_the_page_are_not_for_the_api(visitor: Browser) -> None:
    tokens = visitor.sign_in()
    with pytest.raises(visitor.pool.cognito.exceptions.NotAuthorizedException):
        visitor.pool.cognito.get_user(AccessToken=tokens["access_token"])
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    told = httpx.get(visitor.endpoints["userinfo_endpoint"], headers=bearer).json()
    assert told["username"] == "ada"
    assert "profile" not in told


def test_a_refresh_by_the_old_flow_keeps_the_time_and_knows_revocation(
    cloud: Cloud, later: Callable[[float], None]
) -> None:
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    pool = SignInPool(cloud, ExplicitAuthFlows=flows, RefreshTokenRotation={"Feature": "DISABLED"})
    ids = {"UserPoolId": pool.id, "ClientId": pool.client_id}
    signed_in = pool.cognito.admin_initiate_auth(
        **ids,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada", "PASSWORD": PASSWORD},
    )["AuthenticationResult"]
    began = jwt.decode(signed_in["IdToken"], options={"verify_signature": False})["auth_time"]
    later(500)
    refresh = {
        "AuthFlow": "REFRESH_TOKEN_AUTH",
        "AuthParameters": {"REFRESH_TOKEN": signed_in["RefreshToken"]},
    }
    renewed = pool.cognito.admin_initiate_auth(**ids, **refresh)["AuthenticationResult"]["IdToken"]
    assert jwt.decode(renewed, options={"verify_signature": False})["auth_time"] == began
    pool.cognito.revoke_token(Token=signed_in["RefreshToken"], ClientId=pool.client_id)
    with pytest.raises(pool.cognito.exceptions.NotAuthorizedException):
        pool.cognito.admin_initiate_auth(**ids, **refresh)
