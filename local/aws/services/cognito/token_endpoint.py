"""The endpoints of managed login that applications call: token, revoke and userInfo."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any
from urllib.parse import unquote

from local.aws.kernel.api import Params, ServiceError
from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Environ, Response
from local.aws.services.cognito.authorization import HostedLogins, PageError, pool_of_domain
from local.aws.services.cognito.discovery import SIGN_IN
from local.aws.services.cognito.grants import Grants, check_secret
from local.aws.services.cognito.managed_login import form_of

FORM = "application/x-www-form-urlencoded"
VERIFIER = re.compile(r"^[A-Za-z0-9._~-]{43,128}$")
OPEN_TO_BROWSERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Cache-Control": "no-store",
}
INVALID_GRANTS = ("NotAuthorizedException", "RefreshTokenReuseException", "UserLambdaValidationException")


class OAuthError(Exception):
    """An error as RFC 6749, 5.2 answers it."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.status = status


class Endpoints:
    """The endpoints of all domains of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def answer(self, environ: Environ, match: re.Match[str]) -> Response:
        """Return the answer to an application, which pages of any origin may read."""
        answers = {"token": self._token, "revoke": self._revoke, "userInfo": self._user_info}
        method, name = environ["REQUEST_METHOD"], match["endpoint"]
        methods = ("GET", "POST") if name == "userInfo" else ("POST",)
        if method == "OPTIONS":
            response = Response(200, "", "text/plain")
        elif method not in methods:
            response = Response(405, "", "text/plain", Allow=", ".join((*methods, "OPTIONS")))
        else:
            response = self._answered(environ, match["domain"], answers[name])
        response.headers.update(OPEN_TO_BROWSERS)
        return response

    def _answered(self, environ: Environ, domain: str, answer: Any) -> Response:
        try:
            found: Params | None = answer(environ, pool_of_domain(self._cloud, domain))
            return Response(200, "" if found is None else json.dumps(found))
        except PageError:
            return _error("invalid_request", 404)
        except OAuthError as error:
            return _error(str(error), error.status)
        except ServiceError as error:
            return _error("invalid_grant" if error.code in INVALID_GRANTS else "invalid_request")

    def _token(self, environ: Environ, pool: Any) -> Params:
        form, client = _form_and_client(environ, pool)
        grant = form.get("grant_type")
        if grant == "authorization_code":
            tokens = self._by_code(form, pool, client)
        elif grant == "refresh_token":
            if not form.get("refresh_token"):
                raise OAuthError("invalid_request")
            tokens = self._cloud.state(Grants).refresh(pool, client.id, form["refresh_token"])
        else:
            raise OAuthError("unsupported_grant_type" if grant else "invalid_request")
        names = {"IdToken": "id_token", "AccessToken": "access_token", "RefreshToken": "refresh_token"}
        named = {names[name]: text for name, text in tokens.items() if name in names}
        return {**named, "expires_in": tokens["ExpiresIn"], "token_type": "Bearer"}

    def _by_code(self, form: Params, pool: Any, client: Any) -> Params:
        """Exchange a code, which is used up whether or not the exchange succeeds."""
        if not form.get("code") or not form.get("redirect_uri"):
            raise OAuthError("invalid_request")
        code = self._cloud.state(HostedLogins).take_code(form["code"])
        if (
            code is None
            or code.request.client_id != client.id
            or code.request.pool is not pool
            or code.request.redirect_uri != form["redirect_uri"]
            or not _proves(form.get("code_verifier", ""), code.request.challenge)
        ):
            raise OAuthError("invalid_grant")
        user = pool._get_user(code.session.username)
        if user is None or not user.enabled:
            raise OAuthError("invalid_grant")
        return self._cloud.state(Grants).sign_in(
            pool,
            client.id,
            code.session.username,
            auth_time=int(code.session.began),
            scopes=code.request.scopes,
            nonce=code.request.nonce,
        )

    def _revoke(self, environ: Environ, pool: Any) -> None:
        form, client = _form_and_client(environ, pool)
        if not form.get("token") or not client.extended_config.get("EnableTokenRevocation", True):
            raise OAuthError("invalid_request")
        try:
            self._cloud.state(Grants).revoke(pool, client.id, form["token"])
        except ServiceError as error:
            unsupported = error.code == "UnsupportedTokenTypeException"
            raise OAuthError("unsupported_token_type" if unsupported else "invalid_client") from error

    def _user_info(self, environ: Environ, pool: Any) -> Params:
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        grants = self._cloud.state(Grants)
        grant = grants.access_tokens.get(token)
        user = pool._get_user(grant.username) if grant and grant.client_id in pool.clients else None
        if grant is None or user is None or "openid" not in grant.scopes or _expired(token, grants.clock()):
            raise OAuthError("invalid_token", 401)
        readable = set(pool.clients[grant.client_id].get_readable_fields())
        attributes = {each["Name"]: each["Value"] for each in user.attributes if each["Name"] in readable}
        return {"sub": user.id, "username": user.username, **attributes}


def _form_and_client(environ: Environ, pool: Any) -> tuple[Params, Any]:
    """Return the form, and the client that sent it: public by its id, others by their secret too."""
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request")
    form = form_of(environ)
    client_id, secret = form.get("client_id", ""), form.get("client_secret")
    if environ.get("HTTP_AUTHORIZATION", "").startswith("Basic "):
        client_id, secret = _basic(environ["HTTP_AUTHORIZATION"])
    if not client_id:
        raise OAuthError("invalid_request")
    client = pool.clients.get(client_id)
    if client is None:
        raise OAuthError("invalid_client")
    try:
        check_secret(client, secret)
    except ServiceError as error:
        raise OAuthError("invalid_client") from error
    return form, client


def _basic(header: str) -> tuple[str, str]:
    try:
        name, _, secret = (
            base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client") from error
    return unquote(name), unquote(secret)


def _proves(verifier: str, challenge: str) -> bool:
    """Return whether a verifier belongs to a challenge by S256 (RFC 7636, 4.6)."""
    if not VERIFIER.match(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(digest, challenge)


def _expired(token: str, now: float) -> bool:
    body = token.split(".")[1]
    return bool(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"] <= now)


def _error(error: str, status: int = 400) -> Response:
    return Response(status, json.dumps({"error": error}))


@install_routes
def _install(cloud: Cloud) -> None:
    pattern = re.compile(rf"^/{SIGN_IN}/(?P<domain>[a-z0-9-]+)/oauth2/(?P<endpoint>token|revoke|userInfo)$")
    cloud.routes.append(Route(pattern, Endpoints(cloud).answer))
