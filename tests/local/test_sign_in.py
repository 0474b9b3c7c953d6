"""Managed login of the local AWS, used as an OAuth 2.0 client uses it."""

from __future__ import annotations

import base64
import hashlib
import io
import time
import zipfile
from collections.abc import Callable, Iterator

import httpx
import jwt
import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud
from local.aws.services.cognito.grants import Grants
from tests.local.sign_in_client import CALLBACK, HOME, OAUTH, PASSWORD, Browser, SignInPool, returned_to

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


@pytest.fixture(scope="module")
def pool(cloud: Cloud) -> SignInPool:
    return SignInPool(cloud)


@pytest.fixture
def browser(pool: SignInPool) -> Browser:
    return Browser(pool)


@pytest.fixture
def later(cloud: Cloud) -> Iterator[Callable[[float], None]]:
    """Move the clock of the sign-ins."""
    grants = cloud.state(Grants)

    def move(seconds: float) -> None:
        before = grants.clock
        grants.clock = lambda: before() + seconds

    yield move
    grants.clock = time.time


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    return str(answer.json()["error"])


def test_a_sign_in_from_discovery_to_the_checked_id_token(browser: Browser) -> None:
    tokens = browser.sign_in()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    claims = browser.claims(tokens["id_token"])
    assert (claims["cognito:username"], claims["token_use"]) == ("ada", "id")
    assert claims["nonce"] == browser.nonce
    assert "profile" not in claims, "the client may not read it"
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    access = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (access["scope"], access["client_id"]) == ("openid", browser.pool.client_id)


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
    browser: Browser, changes: dict[str, str | None], error: str
) -> None:
    returned = returned_to(browser.authorize(**changes))
    assert (returned["error"], returned["state"]) == (error, browser.state)
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
def test_only_the_exact_redirect_address_is_returned_to(browser: Browser, address: str) -> None:
    answer = browser.authorize(redirect_uri=address)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "redirect_mismatch" in answer.text


def test_an_unknown_client_or_domain_gets_a_page(browser: Browser) -> None:
    assert browser.authorize(client_id="stranger").status_code == 400
    unknown = browser.endpoints["authorization_endpoint"].replace(browser.pool.domain, "nobody")
    assert httpx.get(unknown, params=browser.request()).status_code == 404


def test_a_code_is_good_once(browser: Browser) -> None:
    code = browser.code()
    assert browser.exchange(code).status_code == 200
    assert refusal(browser.exchange(code)) == "invalid_grant"


def test_a_code_is_good_for_five_minutes(browser: Browser, later: Callable[[float], None]) -> None:
    early, late = browser.code(), Browser(browser.pool)
    later(299)
    assert browser.exchange(early).status_code == 200
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
    browser: Browser, changes: dict[str, str | None], error: str
) -> None:
    assert refusal(browser.exchange(browser.code(), **changes)) == error


def test_a_wrong_verifier_uses_the_code_up(browser: Browser) -> None:
    code = browser.code()
    assert refusal(browser.exchange(code, code_verifier="w" * 43)) == "invalid_grant"
    assert refusal(browser.exchange(code)) == "invalid_grant"


def test_a_code_of_another_client_or_pool_is_refused(cloud: Cloud, browser: Browser) -> None:
    other = browser.pool.cognito.create_user_pool_client(
        UserPoolId=browser.pool.id, ClientName="other", **OAUTH
    )["UserPoolClient"]["ClientId"]
    assert refusal(browser.exchange(browser.code(), client_id=other)) == "invalid_grant"
    elsewhere = Browser(SignInPool(cloud))
    elsewhere.verifier = browser.verifier
    assert refusal(elsewhere.exchange(browser.code(prompt="login"))) == "invalid_grant"


def test_other_grant_types_and_other_bodies_are_refused(browser: Browser) -> None:
    assert refusal(browser.token(grant_type="password", username="ada")) == "unsupported_grant_type"
    assert refusal(browser.token()) == "invalid_request"
    url = browser.endpoints["token_endpoint"]
    assert refusal(httpx.post(url, json={"grant_type": "refresh_token"})) == "invalid_request"
    twice = f"grant_type=refresh_token&client_id={browser.pool.client_id}&client_id=x"
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert refusal(httpx.post(url, content=twice, headers=form)) == "invalid_request"
    assert httpx.get(url).status_code == 405


def test_browsers_of_any_origin_may_call_the_token_endpoint(browser: Browser) -> None:
    for name in ("token_endpoint", "revocation_endpoint", "userinfo_endpoint"):
        answer = httpx.options(browser.endpoints[name], headers={"origin": "http://localhost:8080"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]


def test_refresh_tokens_rotate_and_the_sign_in_keeps_its_time(
    browser: Browser, later: Callable[[float], None]
) -> None:
    first = browser.sign_in()
    began = browser.claims(first["id_token"])["auth_time"]
    later(1000)
    second = browser.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    claims = browser.claims(second["id_token"])
    assert claims["auth_time"] == began
    assert "nonce" not in claims
    third = browser.refresh(second["refresh_token"]).json()
    assert browser.claims(third["id_token"])["auth_time"] == began


def test_a_rotated_token_is_good_within_the_grace_period_only(
    browser: Browser, later: Callable[[float], None]
) -> None:
    first = browser.sign_in()["refresh_token"]
    browser.refresh(first).raise_for_status()
    later(59)
    again = browser.refresh(first).raise_for_status().json()["refresh_token"]
    later(1)
    assert refusal(browser.refresh(first)) == "invalid_grant"
    assert browser.refresh(again).status_code == 200, "the newest stays good"
    cognito = browser.pool.cognito
    with pytest.raises(cognito.exceptions.RefreshTokenReuseException):
        cognito.get_tokens_from_refresh_token(RefreshToken=first, ClientId=browser.pool.client_id)


def test_rotation_does_not_prolong_the_session(cloud: Cloud, later: Callable[[float], None]) -> None:
    hours = {"RefreshTokenValidity": 10, "TokenValidityUnits": {"RefreshToken": "hours"}}
    browser = Browser(SignInPool(cloud, **hours))
    token = browser.sign_in()["refresh_token"]
    later(35_000)
    token = browser.refresh(token).json()["refresh_token"]
    later(1000)
    assert refusal(browser.refresh(token)) == "invalid_grant"


def test_without_rotation_the_refresh_token_stays(cloud: Cloud) -> None:
    browser = Browser(SignInPool(cloud, RefreshTokenRotation={"Feature": "DISABLED"}))
    token = browser.sign_in()["refresh_token"]
    for _ in range(2):
        assert "refresh_token" not in browser.refresh(token).raise_for_status().json()


def test_a_revoked_token_ends_the_whole_sign_in(browser: Browser) -> None:
    first = browser.sign_in()
    second = browser.refresh(first["refresh_token"]).json()
    form = {"client_id": browser.pool.client_id, "token": second["refresh_token"]}
    answer = httpx.post(browser.endpoints["revocation_endpoint"], data=form)
    assert (answer.status_code, answer.text) == (200, "")
    for token in (first, second):
        assert refusal(browser.refresh(token["refresh_token"])) == "invalid_grant"
    bearer = {"authorization": f"Bearer {second['access_token']}"}
    assert httpx.get(browser.endpoints["userinfo_endpoint"], headers=bearer).status_code == 401


def test_what_cannot_be_revoked(browser: Browser) -> None:
    url, client = browser.endpoints["revocation_endpoint"], {"client_id": browser.pool.client_id}
    assert httpx.post(url, data={**client, "token": "unknown"}).status_code == 200
    access = browser.sign_in()["access_token"]
    assert refusal(httpx.post(url, data={**client, "token": access})) == "unsupported_token_type"
    assert refusal(httpx.post(url, data=client)) == "invalid_request"


def test_revocation_and_rotation_by_the_api(browser: Browser) -> None:
    cognito, client = browser.pool.cognito, browser.pool.client_id
    token = browser.sign_in()["refresh_token"]
    tokens = cognito.get_tokens_from_refresh_token(RefreshToken=token, ClientId=client)[
        "AuthenticationResult"
    ]
    assert "IdToken" in tokens
    cognito.revoke_token(Token=tokens["RefreshToken"], ClientId=client)
    with pytest.raises(cognito.exceptions.NotAuthorizedException):
        cognito.get_tokens_from_refresh_token(RefreshToken=tokens["RefreshToken"], ClientId=client)


def test_signing_out_everywhere_and_disabling_end_refreshes(browser: Browser) -> None:
    pool = browser.pool
    pool.add_user("eve")
    token = browser.sign_in("eve")["refresh_token"]
    pool.cognito.admin_user_global_sign_out(UserPoolId=pool.id, Username="eve")
    assert refusal(browser.refresh(token)) == "invalid_grant"
    again = Browser(pool)
    token, code = again.sign_in("eve")["refresh_token"], again.code("eve", prompt="login")
    pool.cognito.admin_disable_user(UserPoolId=pool.id, Username="eve")
    assert refusal(again.refresh(token)) == "invalid_grant"
    assert refusal(again.exchange(code)) == "invalid_grant"
    assert "eve" not in again.login_page(prompt="login").text


def test_the_cookie_signs_in_again_for_an_hour(browser: Browser, later: Callable[[float], None]) -> None:
    began = browser.claims(browser.sign_in()["id_token"])["auth_time"]
    later(3000)
    code = returned_to(browser.authorize())["code"]
    assert browser.claims(browser.exchange(code).json()["id_token"])["auth_time"] == began
    assert "code" in returned_to(browser.authorize(prompt="none"))
    later(600)
    assert "/login?" in browser.authorize().headers["location"]


def test_the_cookie_is_for_this_server_only(browser: Browser) -> None:
    kept = browser.choose().headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=Lax" in kept
    assert "Max-Age=3600" in kept
    assert f"Path=/_signin/{browser.pool.domain}" in kept


def test_signing_out_ends_the_cookie_and_not_the_tokens(browser: Browser) -> None:
    token = browser.sign_in()["refresh_token"]
    end, client = browser.endpoints["end_session_endpoint"], browser.pool.client_id
    wrong = browser.http.get(end, params={"client_id": client, "logout_uri": f"{HOME}x"})
    assert wrong.status_code == 400
    assert "code" in returned_to(browser.authorize()), "a bad sign-out changes nothing"
    out = browser.http.get(end, params={"client_id": client, "logout_uri": HOME})
    assert (out.status_code, out.headers["location"]) == (302, HOME)
    assert "/login?" in browser.authorize().headers["location"]
    assert browser.refresh(token).status_code == 200


def test_the_page_lists_users_with_groups_and_what_they_may_do(browser: Browser) -> None:
    cognito, pool = browser.pool.cognito, browser.pool
    cognito.create_group(UserPoolId=pool.id, GroupName="handlers")
    cognito.admin_add_user_to_group(UserPoolId=pool.id, Username="ada", GroupName="handlers")
    page = browser.login_page()
    for shown in (
        "Ada &lt;Lovelace&gt;",
        "handlers",
        "handles claims &amp; &quot;notes&quot;",
        "stands in for",
    ):
        assert shown in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://localhost:8080" in policy


def test_a_form_of_another_site_signs_nobody_in(browser: Browser) -> None:
    page = browser.login_page()
    for fields in ({"username": "ada"}, {"username": "ada", "_csrf": "guessed"}):
        answer = browser.http.post(page.url, data=fields)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
    assert browser.choose("nobody").status_code == 400


def test_without_a_branding_there_is_no_login_page(cloud: Cloud) -> None:
    pool = SignInPool(cloud)
    browser = Browser(pool)
    pool.cognito.delete_managed_login_branding(UserPoolId=pool.id, ManagedLoginBrandingId=pool.branding)
    answer = browser.authorize()
    assert answer.status_code == 400
    assert "Login pages unavailable" in answer.text


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
    browser = Browser(pool)
    tokens = browser.sign_in()
    claims = browser.claims(tokens["id_token"])
    assert (claims["source"], claims["scopes"]) == ("TokenGeneration_HostedAuth", "openid")
    refreshed = browser.refresh(tokens["refresh_token"]).json()
    assert browser.claims(refreshed["id_token"])["source"] == "TokenGeneration_RefreshTokens"
    pool.add_user("mallory")
    assert refusal(Browser(pool).exchange(browser.code("mallory", prompt="login"))) == "invalid_grant"


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


def test_where_mfa_is_required_one_click_sets_it_up(cloud: Cloud) -> None:
    pool = SignInPool(cloud, mfa="ON")
    Browser(pool).sign_in()
    user = pool.cognito.admin_get_user(UserPoolId=pool.id, Username="ada")
    assert user["UserMFASettingList"] == ["SOFTWARE_TOKEN_MFA"]
    optional = SignInPool(cloud)
    Browser(optional).sign_in()
    user = optional.cognito.admin_get_user(UserPoolId=optional.id, Username="ada")
    assert user["UserMFASettingList"] == []


def test_tokens_of_the_page_are_not_for_the_api(browser: Browser) -> None:
    tokens = browser.sign_in()
    with pytest.raises(browser.pool.cognito.exceptions.NotAuthorizedException):
        browser.pool.cognito.get_user(AccessToken=tokens["access_token"])
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    told = httpx.get(browser.endpoints["userinfo_endpoint"], headers=bearer).json()
    assert told["username"] == "ada"
    assert "profile" not in told


def test_a_client_with_a_secret_must_give_it(cloud: Cloud) -> None:
    pool = SignInPool(cloud, GenerateSecret=True)
    secret = pool.cognito.describe_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id)[
        "UserPoolClient"
    ]["ClientSecret"]
    browser = Browser(pool)
    assert refusal(browser.exchange(browser.code())) == "invalid_client"
    assert browser.exchange(Browser.code(browser, prompt="login"), client_secret=secret).status_code == 200


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CallbackURLs": ["http://desk.example.com/signed-in"]}, "HTTP protocol"),
        ({"LogoutURLs": ["http://10.0.0.1/"]}, "HTTP protocol"),
        ({"CallbackURLs": ["https://desk.example.com/#a"]}, "not a valid redirect"),
        ({"CallbackURLs": []}, "CallbackURLs"),
        ({"AllowedOAuthScopes": []}, "AllowedOAuthScopes"),
        ({"ExplicitAuthFlows": ["ALLOW_REFRESH_TOKEN_AUTH"]}, "rotation"),
        ({"RefreshTokenRotation": {"Feature": "ENABLED", "RetryGracePeriodSeconds": 61}}, "60"),
    ],
)
def test_clients_that_cognito_refuses(pool: SignInPool, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        pool.cognito.create_user_pool_client(UserPoolId=pool.id, ClientName="bad", **{**OAUTH, **changes})


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/x", "http://[::1]:9/x", "https://desk.example.com/x"]
)
def test_addresses_that_cognito_takes(pool: SignInPool, address: str) -> None:
    pool.cognito.create_user_pool_client(
        UserPoolId=pool.id, ClientName="good", **{**OAUTH, "CallbackURLs": [address]}
    )


def test_an_update_of_a_client_replaces_everything(cloud: Cloud) -> None:
    pool = SignInPool(cloud)
    pool.cognito.update_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id, ClientName="app")
    found = pool.cognito.describe_user_pool_client(UserPoolId=pool.id, ClientId=pool.client_id)
    assert not found["UserPoolClient"].get("CallbackURLs")


def test_domains_and_brandings_are_described_and_refused(pool: SignInPool) -> None:
    cognito = pool.cognito
    described = cognito.describe_user_pool_domain(Domain=pool.domain)["DomainDescription"]
    assert (described["UserPoolId"], described["ManagedLoginVersion"]) == (pool.id, 2)
    with pytest.raises(ClientError, match="already has a domain"):
        cognito.create_user_pool_domain(UserPoolId=pool.id, Domain="another-one")
    other = cognito.create_user_pool(PoolName="other")["UserPool"]["Id"]
    with pytest.raises(ClientError, match="already exists"):
        cognito.create_user_pool_domain(UserPoolId=other, Domain=pool.domain)
    for word in ("aws", "amazon", "cognito"):
        with pytest.raises(ClientError, match=f"reserved word: {word}"):
            cognito.create_user_pool_domain(UserPoolId=other, Domain=f"my-{word}-desk")
    branding = cognito.describe_managed_login_branding_by_client(UserPoolId=pool.id, ClientId=pool.client_id)[
        "ManagedLoginBranding"
    ]
    assert branding["UseCognitoProvidedValues"] is True
    with pytest.raises(cognito.exceptions.ManagedLoginBrandingExistsException):
        cognito.create_managed_login_branding(UserPoolId=pool.id, ClientId=pool.client_id)
    with pytest.raises(cognito.exceptions.ResourceNotFoundException):
        cognito.describe_managed_login_branding(UserPoolId=other, ManagedLoginBrandingId=pool.branding)
