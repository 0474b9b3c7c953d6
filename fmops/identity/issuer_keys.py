"""An issuer's published keys, read apart from the requests, so that a slow issuer delays only callers whose key
is unknown."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException
from typing import Any

import jwt

from fmops.telemetry.metrics import instruments

_log = logging.getLogger(__name__)

LIFESPAN = 300.0
"""Seconds after which the keys are read again; until then, and during the reading, the known keys stay in
use.
"""
TIMEOUT = 5.0
"""Seconds that a reading, and a caller that waits for one, may take."""
UNKNOWN_KEYS = 1024
"""Maximum key ids remembered as unknown; the oldest are forgotten first."""
LONGEST_ID = 256
LOG_SECONDS = 60.0


class KeysUnavailableError(Exception):
    """The issuer's keys cannot be read, and no usable key is known."""


class UnknownKeyError(Exception):
    """The issuer has no such key."""


class IssuerKeys:
    """Published keys by their ids, read when they are first needed.

    One reading is in progress at a time, in its own thread. A known key is available at once, for ``max_age``
    seconds after the last successful reading. An unknown key id has the keys read again, at most once in
    ``cooldown`` seconds; if it is not among them, it is remembered as unknown for ten times as long.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str = "",
        *,
        cooldown: float = 30,
        max_age: float = 86_400,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._discovery_url = discovery_url(issuer)
        self._url = jwks_url
        self._cooldown = cooldown
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._read_at: float | None = None
        """Time of the last successful reading."""
        self._tried_at: float | None = None
        """Time of the end of the last reading."""
        self._failed = False
        self._reading: Future[None] | None = None
        self._began_at = 0.0
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._logged_at: float | None = None
        self._began = clock()
        instruments().watch_keys(self)

    def stale(self) -> float:
        """Return for how many seconds readings have failed; 0 after one that succeeded."""
        with self._lock:
            good_at = self._began if self._read_at is None else self._read_at
            return self._clock() - good_at if self._failed else 0.0

    def known(self, key_id: str) -> Any | None:
        """Return the key if it is available without waiting; None if ``reading`` is worth waiting for.

        Raises ``UnknownKeyError`` and ``KeysUnavailableError``.
        """
        now = self._clock()
        with self._lock:
            fresh = self._read_at is not None and now - self._read_at < self._max_age
            if self._read_at is None or now - self._read_at >= LIFESPAN:
                self._begin(now)
            if fresh and key_id in self._keys:
                return self._keys[key_id]
            if len(key_id) > LONGEST_ID or (fresh and self._unknown.get(key_id, now) > now):
                raise UnknownKeyError
            if self._begin(now) is not None:
                return None
            if fresh and not self._failed:
                raise UnknownKeyError
            raise KeysUnavailableError

    def reading(self) -> Future[None]:
        """Return the reading in progress, or a completed one if there is none."""
        with self._lock:
            if self._reading is not None:
                return self._reading
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def read(self, key_id: str) -> Any:
        """Return the key after a reading has ended. Raises ``UnknownKeyError`` and ``KeysUnavailableError``."""
        now = self._clock()
        with self._lock:
            fresh = self._read_at is not None and now - self._read_at < self._max_age
            if fresh and key_id in self._keys:
                return self._keys[key_id]
            if not fresh or self._failed or self._reading is not None:
                raise KeysUnavailableError
            self._remember(key_id, now)
            raise UnknownKeyError

    def refresh(self) -> None:
        """Read the keys before the first request needs them, and wait for the result."""
        with self._lock:
            reading = self._begin(self._clock())
        if reading is not None:
            reading.result(TIMEOUT)

    def _begin(self, now: float) -> Future[None] | None:
        """Return the reading in progress, or one that begins now; None while it is too early for another."""
        if self._reading is not None and now - self._began_at < 2 * TIMEOUT:
            return self._reading
        if self._reading is None and self._tried_at is not None and now - self._tried_at < self._cooldown:
            return None
        self._reading, self._began_at = Future(), now
        # Marked as running, so that no waiting caller can cancel it.
        self._reading.set_running_or_notify_cancel()
        reader = threading.Thread(target=self._run, args=(self._reading,), name="issuer-keys", daemon=True)
        try:
            reader.start()
        except RuntimeError:
            # Without a thread for the reading, callers must not wait for it.
            self._reading, self._tried_at, self._failed = None, now, True
            return None
        return self._reading

    def _run(self, reading: Future[None]) -> None:
        found: dict[str, Any] | None = None
        problem = ""
        try:
            found = self._fetch()
        except (OSError, ValueError, KeyError, TypeError, HTTPException, jwt.PyJWTError) as error:
            problem = type(error).__name__
        finally:
            now = self._clock()
            with self._lock:
                self._tried_at, self._failed = now, found is None
                if found is not None:
                    self._keys, self._read_at = found, now
                if self._reading is reading:
                    self._reading = None
                silent = self._logged_at is not None and now - self._logged_at < LOG_SECONDS
                if problem and not silent:
                    self._logged_at = now
            if problem and not silent:
                _log.error("the issuer's keys cannot be read: %s", problem)
            reading.set_result(None)

    def _fetch(self) -> dict[str, Any]:
        if not self._url:
            self._url = self._discover()
        return {
            str(key.key_id): key.key for key in jwt.PyJWKSet.from_dict(_json(self._url)).keys if key.key_id
        }

    def _discover(self) -> str:
        document = _json(self._discovery_url)
        keys, written = str(document["jwks_uri"]), str(document["issuer"])
        if written.removesuffix("/") != self.issuer.removesuffix("/"):
            # A server that answers for another issuer does not vouch for this issuer's tokens.
            _log.error("the discovery document of the issuer in identity.oidc names another issuer")
            raise ValueError("another issuer")
        if not keys.startswith(("https://", "http://")):
            raise ValueError("the discovery document's jwks_uri is not a URL")
        if written != self.issuer:
            _log.warning(
                "identity.oidc.issuer differs from its discovery document by the slash at its end: write it "
                "exactly as it stands there, since Verified Permissions compares the exact text"
            )
        self.issuer = written
        return keys

    def _remember(self, key_id: str, now: float) -> None:
        self._unknown[key_id] = now + 10 * self._cooldown
        self._unknown.move_to_end(key_id)
        while len(self._unknown) > UNKNOWN_KEYS:
            self._unknown.popitem(last=False)


def discovery_url(issuer: str) -> str:
    """Return the address of an issuer's metadata; a slash at the issuer's end makes no difference (OpenID
    Connect Discovery 1.0, 4.1)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def _json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the issuer's, from settings
        document = json.loads(answer.read(1 << 20))
    if not isinstance(document, dict):
        raise ValueError("no object")
    return document
