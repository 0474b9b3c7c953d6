"""Requests to sign in at the managed login, the cookies of those who have, and the codes that they bring back."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from local.aws.kernel.api import ServiceState
from local.aws.kernel.cloud import Cloud
from local.aws.services.cognito.grants import Grants
from local.aws.services.cognito.login_clients import ManagedLogins
from local.aws.services.cognito.pools import backend_of

CODE_SECONDS = 300
COOKIE_SECONDS = 3600
CHALLENGE = re.compile(r"^[A-Za-z0-9_-]{43}$")
"""SHA-256 in base64url without padding (RFC 7636)."""


class PageError(Exception):
    """The person gets a page with the error, because there is nowhere to return to."""

    def __init__(self, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.error = error


class RedirectError(Exception):
    """The application gets the error, at its redirect address (RFC 6749, 4.1.2.1)."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


@dataclass(frozen=True)
class SignInRequest:
    """A checked request of an application to sign somebody in."""

    domain: str
    pool: Any
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    nonce: str
    challenge: str
    prompt: str

    def back(self, **parameters: str) -> str:
        """Return the redirect address with parameters, and the state that the application sent."""
        return _with_query(self.redirect_uri, {**parameters, **({"state": self.state} if self.state else {})})


@dataclass(frozen=True)
class Session:
    """Somebody who signed in at the managed login of a pool, in one browser."""

    pool_id: str
    username: str
    began: float


@dataclass(frozen=True)
class Code:
    """An authorization code that was given out."""

    request: SignInRequest
    session: Session
    issued: float


class HostedLogins(ServiceState):
    """The cookies and codes of all domains."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, Code] = {}
        self._lock = threading.Lock()

    @property
    def now(self) -> float:
        """Return the time by the clock of the sign-ins."""
        return self.cloud.state(Grants).clock()

    def begin(self, pool_id: str, username: str) -> str:
        """Return the cookie of a new session."""
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = Session(pool_id, username, self.now)
        return cookie

    def session(self, pool: Any, cookie: str) -> Session | None:
        """Return the session of a cookie while it lasts and its user may sign in."""
        found = self._sessions.get(cookie)
        if found is None or found.pool_id != pool.id or self.now - found.began >= COOKIE_SECONDS:
            return None
        user = pool._get_user(found.username)
        return found if user is not None and user.enabled else None

    def end(self, cookie: str) -> None:
        self._sessions.pop(cookie, None)

    def give_code(self, request: SignInRequest, session: Session) -> str:
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = Code(request, session, self.now)
        return code

    def take_code(self, text: str) -> Code | None:
        """Return what a code was given for, once and for five minutes."""
        with self._lock:
            code = self._codes.pop(text, None)
        return code if code and self.now - code.issued < CODE_SECONDS else None


def pool_of_domain(cloud: Cloud, domain: str) -> Any:
    """Return the pool of a domain prefix. Raises ``PageError``."""
    found = backend_of(cloud)
    entry = found.describe_user_pool_domain(domain)
    if entry is None or entry.user_pool_id not in found.user_pools:
        raise PageError("not_found", "No user pool has this domain.")
    return found.user_pools[entry.user_pool_id]


def checked(cloud: Cloud, domain: str, query: Mapping[str, str]) -> SignInRequest:
    """Return the request of an authorize address. Raises ``PageError`` and ``RedirectError``.

    Unlike Cognito, which leaves it to the client, PKCE is required.
    """
    pool = pool_of_domain(cloud, domain)
    client = client_of(pool, query)
    config = client.extended_config
    redirect = query.get("redirect_uri", "")
    if redirect not in (config.get("CallbackURLs") or []):
        raise PageError(
            "redirect_mismatch", "The redirect address is not among the callback URLs of the app client."
        )
    request = SignInRequest(
        domain,
        pool,
        client.id,
        redirect,
        tuple(query.get("scope", "").split()) or tuple(config.get("AllowedOAuthScopes") or ()),
        query.get("state", ""),
        query.get("nonce", ""),
        query.get("code_challenge", ""),
        query.get("prompt", ""),
    )
    _check_parameters(request, config, query)
    pages = cloud.state(ManagedLogins).has_pages(domain, pool.id, client.id)
    if not pages or "COGNITO" not in (config.get("SupportedIdentityProviders") or []):
        raise PageError(
            "login_pages_unavailable",
            "Login pages unavailable: the app client has no managed login branding, or not Cognito as provider.",
        )
    return request


def client_of(pool: Any, query: Mapping[str, str]) -> Any:
    client = pool.clients.get(query.get("client_id", ""))
    if client is None:
        raise PageError(
            "invalid_request", "The client_id is missing, or the user pool has no such app client."
        )
    return client


def _check_parameters(request: SignInRequest, config: Mapping[str, Any], query: Mapping[str, str]) -> None:
    def refuse(error: str, description: str) -> RedirectError:
        return RedirectError(request.back(error=error, error_description=description))

    if query.get("response_type") not in ("code", "token"):
        raise refuse("invalid_request", "response_type must be code")
    permitted = config.get("AllowedOAuthFlowsUserPoolClient") and "code" in (
        config.get("AllowedOAuthFlows") or []
    )
    if query["response_type"] != "code" or not permitted:
        raise refuse("unauthorized_client", "The app client may not use this flow")
    if not set(request.scopes) <= set(config.get("AllowedOAuthScopes") or []):
        raise refuse("invalid_scope", "The app client may not ask for this scope")
    if query.get("code_challenge_method") != "S256" or not CHALLENGE.match(request.challenge):
        raise refuse("invalid_request", "code_challenge with code_challenge_method S256 is required")


def _with_query(address: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(address)
    query = "&".join(part for part in (parts.query, urlencode(parameters)) if part)
    return urlunsplit(parts._replace(query=query))
