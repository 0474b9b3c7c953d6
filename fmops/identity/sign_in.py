"""Endpoints at which people sign in, read from the issuer's discovery document and checked, for the pages."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Literal
from urllib.parse import urlsplit

from fmops.identity.issuer_keys import discovery_url

_log = logging.getLogger(__name__)

LIFESPAN = 300.0
"""Seconds after which the document is read again; until then, and during the reading, the known one stays in
use."""
COOLDOWN = 30.0
"""Seconds between readings that fail."""
TIMEOUT = 5.0
LONGEST_DOCUMENT = 1 << 20
SCOPE = "openid"
"""At Cognito, this scope alone gives ID tokens with all attributes that the client may read."""
HOST = re.compile(r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")

AWAY = "The issuer's sign-in addresses cannot be read at the moment: try again."
NO_PAGES = (
    "The user pool has no sign-in pages: deploy the Identity stack with identity.sign_in, or send an ID token with"
    " each request."
)
UNFIT = (
    "The issuer's discovery document does not allow people to sign in here ({fault}): let the issuer offer the code"
    " flow with PKCE to this public client, or set identity.sign_in.enabled to false."
)

Logout = Literal["cognito", "oidc"]


class _UnfitError(ValueError):
    """The document cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Endpoints:
    """Addresses that the pages go to and call."""

    authorization: str
    token: str
    end_session: str | None
    revocation: str | None

    @property
    def origins(self) -> tuple[str, ...]:
        """Return the origins that a page calls itself, each once."""
        called = (self.token, self.revocation)
        return tuple(dict.fromkeys(origin_of(address) for address in called if address))


class SignIn:
    """The sign-in of an issuer, read apart from the requests and refreshed in the background.

    A document that has become unfit is not used any longer; while the issuer is away, the last one is.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        *,
        document_url: str = "",
        logout: Logout = "oidc",
        refusal: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the sign-in. ``document_url`` is where the document is read if not below the issuer;
        ``refusal`` is the reason why nobody can sign in at the pages of this deployment."""
        self._issuer = issuer
        self._client_id = client_id
        self._url = document_url or discovery_url(issuer)
        self._logout: Logout = logout
        self._refusal = refusal
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoints: Endpoints | None = None
        self._reason = refusal or AWAY
        self._next_at = 0.0 if refusal else clock()
        self._reading = False

    def described(self) -> dict[str, Any]:
        """Return what the pages need to sign somebody in, or the reason why they cannot. Never waits."""
        endpoints, reason = self._current()
        if endpoints is None:
            return {"available": False, "reason": reason}
        return {
            "available": True,
            "client_id": self._client_id,
            "authorization_endpoint": endpoints.authorization,
            "token_endpoint": endpoints.token,
            "end_session_endpoint": endpoints.end_session,
            "revocation_endpoint": endpoints.revocation,
            "logout": self._logout,
            "scope": SCOPE,
        }

    def connect_origins(self) -> tuple[str, ...]:
        """Return the origins that the pages call, for their content security policy. Never waits."""
        endpoints, _ = self._current()
        return endpoints.origins if endpoints else ()

    def refresh(self) -> None:
        """Read the document now, and wait for it."""
        if self._refusal:
            return
        with self._lock:
            self._reading = True
        self._read()

    def _current(self) -> tuple[Endpoints | None, str]:
        with self._lock:
            due = not self._refusal and not self._reading and self._clock() >= self._next_at
            if due:
                self._reading = True
            current = self._endpoints, self._reason
        if due:
            self._begin()
        return current

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._read, name="sign-in", daemon=True).start()
        except RuntimeError:
            # Without a thread for the reading, the next request tries again.
            with self._lock:
                self._reading, self._next_at = False, self._clock() + COOLDOWN

    def _read(self) -> None:
        endpoints, reason, failed = None, "", True
        try:
            endpoints = self._checked(read_document(self._url))
            failed = False
        except _UnfitError as error:
            reason, failed = str(error), False
        except (OSError, ValueError, RecursionError, HTTPException) as error:
            _log.warning("the issuer's discovery document cannot be read: %s", type(error).__name__)
        finally:
            with self._lock:
                self._reading = False
                self._next_at = self._clock() + (COOLDOWN if failed else LIFESPAN)
                if not failed:
                    self._endpoints, self._reason = endpoints, reason

    def _checked(self, document: Mapping[str, Any]) -> Endpoints:
        try:
            return endpoints_of(document, self._issuer)
        except _UnfitError as error:
            no_pages = self._logout == "cognito" and "authorization_endpoint" not in document
            raise _UnfitError(NO_PAGES if no_pages else UNFIT.format(fault=error)) from error


def endpoints_of(document: Mapping[str, Any], issuer: str) -> Endpoints:
    """Return the endpoints of a discovery document. ``ValueError`` says why the pages cannot use them."""
    written = document.get("issuer")
    if not isinstance(written, str) or written.removesuffix("/") != issuer.removesuffix("/"):
        raise _UnfitError("it names another issuer")
    methods = document.get("code_challenge_methods_supported")
    # Cognito and Entra ID name no methods, and have S256.
    if methods is not None and (not isinstance(methods, list) or "S256" not in methods):
        raise _UnfitError("code_challenge_methods_supported is without S256")
    flows = document.get("response_types_supported")
    if flows is not None and (not isinstance(flows, list) or "code" not in flows):
        raise _UnfitError("response_types_supported is without code")
    return Endpoints(
        _endpoint(document, "authorization_endpoint"),
        _endpoint(document, "token_endpoint"),
        _optional(document, "end_session_endpoint"),
        _optional(document, "revocation_endpoint"),
    )


def origin_of(address: str) -> str:
    """Return the origin of an address that has been checked."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _optional(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _endpoint(document, name)


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    """Return an endpoint that is https, or http on this machine, and fit for a header of the pages."""
    address = document.get(name)
    if not isinstance(address, str) or not address:
        raise _UnfitError(f"{name} is missing")
    if not address.isascii() or not address.isprintable() or set(address) & set(" \"'<>\\^`{|}"):
        raise _UnfitError(f"{name} is not an address")
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for a port that is no number
        host = parts.hostname or ""
    except ValueError:
        raise _UnfitError(f"{name} is not an address") from None
    bare = re.sub(r":\d*$", "", parts.netloc)
    if not HOST.match(bare) or parts.fragment or "#" in address:
        raise _UnfitError(f"{name} is not an address")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise _UnfitError(f"{name} is not https")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_document(url: str) -> dict[str, Any]:
    """Return the discovery document at an address. Raises ``OSError``, ``ValueError`` and ``HTTPException``."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the issuer's, from settings
        if url.startswith("https:") and not answer.url.startswith("https:"):
            raise ValueError("a redirect to plain http")
        document = json.loads(answer.read(LONGEST_DOCUMENT))
    if not isinstance(document, dict):
        raise ValueError("no object")
    return document
