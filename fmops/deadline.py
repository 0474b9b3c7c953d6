"""The time budget of a turn, in seconds, which every call within it inherits."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from urllib3.util import Timeout

_SHORTEST = 0.001
"""Shortest time-out in seconds, since clients refuse a time-out of zero."""
_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


class OutOfTimeError(TimeoutError):
    """The turn's time budget is spent, so no further call begins."""


def begin(seconds: float | None) -> None:
    """Give the current context a budget of ``seconds``; with None, calls in it have only their own limits."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def left() -> float:
    """Return the seconds that are left; infinity without a budget."""
    ends_at = _ends_at.get()
    return float("inf") if ends_at is None else ends_at - time.monotonic()


def at_most(seconds: float) -> float:
    """Return ``seconds``, or the time that is left if that is less."""
    return min(seconds, left())


def inheriting(client: Any) -> Any:
    """Return the boto3 client with every call limited by the budget of the context in which it is made.

    No attempt begins after the budget's end, and none waits for longer than was left when it began. boto3 has
    time-outs per client, but none per call.
    """
    client.meta.events.register_first("before-send", _in_time)
    pools = client._endpoint.http_session._manager.connection_pool_kw
    pools["timeout"] = _Inherited(
        connect=pools["timeout"].connect_timeout, read=pools["timeout"].read_timeout
    )
    return client


def _in_time(**_: Any) -> None:
    if left() <= 0:
        raise OutOfTimeError


class _Inherited(Timeout):
    """Time-outs that urllib3 copies for each request."""

    def clone(self) -> Timeout:
        return Timeout(connect=_within(self.connect_timeout), read=_within(self.read_timeout))


def _within(seconds: object) -> float:
    return max(_SHORTEST, at_most(seconds if isinstance(seconds, int | float) else left()))
