"""The pages of managed login: authorize, login and logout, below a path for each domain."""

from __future__ import annotations

import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import pyotp

from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Environ, Response
from local.aws.services.cognito.authentication import SoftwareTokens
from local.aws.services.cognito.authorization import (
    COOKIE_SECONDS,
    HostedLogins,
    PageError,
    RedirectError,
    SignInRequest,
    checked,
    client_of,
    pool_of_domain,
)
from local.aws.services.cognito.discovery import SIGN_IN
from local.aws.services.cognito.login_page import error_page, login_page

SESSION_COOKIE = "cognito"
CSRF_COOKIE = "XSRF-TOKEN"


class Pages:
    """The pages of all domains of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._logins = cloud.state(HostedLogins)

    def answer(self, environ: Environ, match: re.Match[str]) -> Response:
        """Return the answer of a page, whatever is wrong with the request."""
        method, page = environ["REQUEST_METHOD"], match["page"]
        methods = ("GET", "HEAD", "POST") if page == "login" else ("GET", "HEAD")
        if method not in methods:
            return Response(405, "", "text/plain", Allow=", ".join(methods))
        try:
            return {"oauth2/authorize": self._authorize, "login": self._login, "logout": self._logout}[page](
                environ, match["domain"]
            )
        except PageError as error:
            return error_page(error.error, str(error))
        except RedirectError as error:
            return _redirect(error.address)

    def _authorize(self, environ: Environ, domain: str) -> Response:
        """Return to the application if the browser has a session, otherwise go to the login page."""
        request = checked(self._cloud, domain, _query(environ))
        session = self._logins.session(request.pool, _cookie(environ, SESSION_COOKIE))
        if session and request.prompt not in ("login", "select_account"):
            return _redirect(request.back(code=self._logins.give_code(request, session)))
        if request.prompt == "none":
            return _redirect(request.back(error="login_required", error_description="Nobody is signed in"))
        return _redirect(f"/{SIGN_IN}/{domain}/login?{environ['QUERY_STRING']}")

    def _login(self, environ: Environ, domain: str) -> Response:
        request = checked(self._cloud, domain, _query(environ))
        csrf = _cookie(environ, CSRF_COOKIE)
        if environ["REQUEST_METHOD"] == "POST":
            form = form_of(environ)
            if not csrf or not hmac.compare_digest(csrf.encode(), form.get("_csrf", "").encode()):
                raise PageError("invalid_request", "The form has expired: go back to the application.")
            return self._signed_in(request, form.get("username", ""))
        csrf = csrf or secrets.token_urlsafe(24)
        page = login_page(request, csrf)
        page.headers["Set-Cookie"] = _set_cookie(CSRF_COOKIE, csrf, domain)
        return page

    def _signed_in(self, request: SignInRequest, username: str) -> Response:
        user = request.pool.users.get(username)
        if user is None or not user.enabled:
            raise PageError("invalid_request", "There is no such user, or the user is disabled.")
        if request.pool.mfa_config == "ON" and not user.software_token_mfa_enabled:
            self._set_up_totp(request.pool, user)
        cookie = self._logins.begin(request.pool.id, username)
        session = self._logins.session(request.pool, cookie)
        assert session is not None  # noqa: S101 - it has just begun
        answer = _redirect(request.back(code=self._logins.give_code(request, session)))
        answer.headers["Set-Cookie"] = _set_cookie(SESSION_COOKIE, cookie, request.domain, COOKIE_SECONDS)
        return answer

    def _set_up_totp(self, pool: Any, user: Any) -> None:
        """Register an authenticator, as the person would have to before the first sign-in."""
        secret = pyotp.random_base32(52)
        self._cloud.state(SoftwareTokens).secrets[pool.id, user.username] = secret
        user.token_verified = user.software_token_mfa_enabled = True
        user.preferred_mfa_setting = "SOFTWARE_TOKEN_MFA"

    def _logout(self, environ: Environ, domain: str) -> Response:
        """End the session of the browser; tokens that were issued stay valid."""
        query = _query(environ)
        client = client_of(pool_of_domain(self._cloud, domain), query)
        config = client.extended_config
        if "logout_uri" in query:
            if query["logout_uri"] not in (config.get("LogoutURLs") or []):
                raise PageError(
                    "invalid_request", "The logout_uri is not among the sign-out URLs of the app client."
                )
            answer = _redirect(query["logout_uri"])
        else:
            checked(self._cloud, domain, query)
            answer = _redirect(f"/{SIGN_IN}/{domain}/login?{environ['QUERY_STRING']}")
        self._logins.end(_cookie(environ, SESSION_COOKIE))
        answer.headers["Set-Cookie"] = _set_cookie(SESSION_COOKIE, "", domain, 0)
        return answer


def form_of(environ: Environ) -> dict[str, str]:
    """Return the form of a request; a field that is there twice is left out."""
    return _single(environ["wsgi.input"].read().decode("utf-8", "replace"))


def _query(environ: Environ) -> dict[str, str]:
    return _single(environ.get("QUERY_STRING", ""))


def _single(text: str) -> dict[str, str]:
    """Return parameters that are there once (RFC 6749, 3.1: others make the request invalid)."""
    pairs = parse_qsl(text, keep_blank_values=False, max_num_fields=100)
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _cookie(environ: Environ, name: str) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _set_cookie(name: str, value: str, domain: str, seconds: int | None = None) -> str:
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/{SIGN_IN}/{domain}; HttpOnly; SameSite=Lax{age}"


def _redirect(address: str) -> Response:
    return Response(
        302, "", "text/plain", Location=address, Cache_Control="no-store", Referrer_Policy="no-referrer"
    )


@install_routes
def _install(cloud: Cloud) -> None:
    pattern = re.compile(rf"^/{SIGN_IN}/(?P<domain>[a-z0-9-]+)/(?P<page>oauth2/authorize|login|logout)$")
    cloud.routes.append(Route(pattern, Pages(cloud).answer))
