"""Windows of time for counters, in UTC. The window is part of the counter's key, so nothing has to reset it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

_FORMATS = {"minute": "%Y-%m-%dT%H:%M", "day": "%Y-%m-%d", "month": "%Y-%m"}


class Window(StrEnum):
    """The length of time that a limit counts before it starts anew."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"

    def period(self, at: float) -> str:
        """Return the name of the window that contains a time, given in seconds since the epoch, such as
        ``2026-11``."""
        return _utc(at).strftime(_FORMATS[self.value])

    def end(self, at: float) -> float:
        """Return the first second after the window that contains a time."""
        now = _utc(at)
        if self is Window.MINUTE:
            return (now.replace(second=0, microsecond=0) + timedelta(minutes=1)).timestamp()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Window.DAY:
            return (midnight + timedelta(days=1)).timestamp()
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
