"""Readings of what stands elsewhere, such as in MLflow: each kept for some seconds, none waited for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from fmops.conversation.failures import cause_of
from fmops.threads import Threads

State = Mapping[str, Any]
Reader = Callable[[], State]

DEADLINE_SECONDS = 2.0
KEPT_SECONDS = 10.0


@dataclass(frozen=True)
class _Reading:
    future: Future[State]
    begun: float


class Readings:
    """Answers of readers by key. A reader that has not answered yet is not asked again, so that a service that
    hangs takes one thread only."""

    def __init__(
        self, threads: Threads, *, deadline: float = DEADLINE_SECONDS, kept: float = KEPT_SECONDS
    ) -> None:
        self._threads, self._deadline, self._seconds = threads, deadline, kept
        self._lock = threading.Lock()
        self._kept: dict[str, _Reading] = {}

    async def read(self, key: str, reader: Reader) -> State:
        """Return the reader's answer, or ``unread`` with a sentence if it fails or takes too long."""
        answer = asyncio.wrap_future(self._reading(key, reader))
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._deadline)
        except TimeoutError:
            return {"unread": f"there was no answer within {self._deadline:g} seconds"}

    def _reading(self, key: str, reader: Reader) -> Future[State]:
        now = time.monotonic()
        with self._lock:
            old = [
                each for each, it in self._kept.items() if it.future.done() and now - it.begun > self._seconds
            ]
            for each in old:
                del self._kept[each]
            if key not in self._kept:
                future = self._threads.submit(copy_context().run, _safely, reader)
                self._kept[key] = _Reading(future, now)
            return self._kept[key].future


def _safely(reader: Reader) -> State:
    try:
        return reader()
    except ClientError as error:
        return {"unread": f"{error.operation_name} answered {error.response['Error']['Code']}"}
    except Exception as error:  # noqa: BLE001 - one part of the page must not break the others
        return {"unread": cause_of(error)}
