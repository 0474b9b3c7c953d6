"""The local sign-in page, its cookie, and the sign-out."""

from __future__ import annotations

from collections.abc import Callable

from local.aws.kernel.cloud import Cloud
from tests.local.sign_in_client import HOME, Browser, SignInPool, returned_to


def test_the_cookie_signs_in_again_for_an_hour(visitor: Browser, later: Callable[[float], None]) -> None:
    began = visitor.claims(visitor.sign_in()["id_token"])["auth_time"]
    later(3000)
    code = returned_to(visitor.authorize())["code"]
    assert visitor.claims(visitor.exchange(code).json()["id_token"])["auth_time"] == began
    assert "code" in returned_to(visitor.authorize(prompt="none"))
    later(600)
    assert "/login?" in visitor.authorize().headers["location"]


def test_the_cookie_is_for_this_server_only(visitor: Browser) -> None:
    kept = visitor.choose().headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=Lax" in kept
    assert "Max-Age=3600" in kept
    assert f"Path=/_signin/{visitor.pool.domain}" in kept


def test_signing_out_ends_the_cookie_and_not_the_tokens(visitor: Browser) -> None:
    token = visitor.sign_in()["refresh_token"]
    end, client = visitor.endpoints["end_session_endpoint"], visitor.pool.client_id
    wrong = visitor.http.get(end, params={"client_id": client, "logout_uri": f"{HOME}x"})
    assert wrong.status_code == 400
    assert "code" in returned_to(visitor.authorize()), "a bad sign-out changes nothing"
    out = visitor.http.get(end, params={"client_id": client, "logout_uri": HOME})
    assert (out.status_code, out.headers["location"]) == (302, HOME)
    assert "/login?" in visitor.authorize().headers["location"]
    assert visitor.refresh(token).status_code == 200


def test_the_page_lists_users_with_groups_and_what_they_may_do(visitor: Browser) -> None:
    cognito, pool = visitor.pool.cognito, visitor.pool
    cognito.create_group(UserPoolId=pool.id, GroupName="handlers")
    cognito.admin_add_user_to_group(UserPoolId=pool.id, Username="ada", GroupName="handlers")
    page = visitor.login_page()
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


def test_a_form_of_another_site_signs_nobody_in(visitor: Browser) -> None:
    page = visitor.login_page()
    for fields in ({"username": "ada"}, {"username": "ada", "_csrf": "guessed"}):
        answer = visitor.http.post(page.url, data=fields)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
    assert visitor.choose("nobody").status_code == 400


def test_without_a_branding_there_is_no_login_page(cloud: Cloud) -> None:
    pool = SignInPool(cloud)
    visitor = Browser(pool)
    pool.cognito.delete_managed_login_branding(UserPoolId=pool.id, ManagedLoginBrandingId=pool.branding)
    answer = visitor.authorize()
    assert answer.status_code == 400
    assert "Login pages unavailable" in answer.text


def test_where_mfa_is_required_one_click_sets_it_up(cloud: Cloud) -> None:
    pool = SignInPool(cloud, mfa="ON")
    Browser(pool).sign_in()
    user = pool.cognito.admin_get_user(UserPoolId=pool.id, Username="ada")
    assert user["UserMFASettingList"] == ["SOFTWARE_TOKEN_MFA"]
    optional = SignInPool(cloud)
    Browser(optional).sign_in()
    user = optional.cognito.admin_get_user(UserPoolId=optional.id, Username="ada")
    assert user["UserMFASettingList"] == []
