"""Answers in progress: each ends exactly once and reports its end exactly once, whatever happens to its
reader.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from contextvars import copy_context
from enum import Enum
from typing import Protocol

from fmops.frames import where
from fmops.surrogates import mend

_log = logging.getLogger(__name__)

BUFFERED = 16
"""Maximum pieces that wait for a reader; beyond it, the model waits too."""


class Cut(Enum):
    """The reason why an answer ended early."""

    CLIENT = "the client left"
    SERVER = "the server stops"


class Pieces(Protocol):
    """An asynchronous generator of texts, as far as it is needed here."""

    def __aiter__(self) -> AsyncIterator[str]: ...

    async def aclose(self) -> None: ...


Ended = Callable[[BaseException | Cut | None], None]
"""A callback for the end of an answer: the error, the reason for the cut, or None."""


class Run:
    """The task that makes the pieces. It holds no reference to its reader, so that an abandoned reader is
    noticed.
    """

    def __init__(
        self,
        pieces: Pieces,
        begin: Callable[[], object],
        ended: Ended,
        *,
        seconds: float | None = None,
        late: Callable[[], Exception] = TimeoutError,
        stopped: Callable[[], Exception] | None = None,
    ) -> None:
        """Call ``begin`` first and ``ended`` last, once, both in the context in which the pieces are made.

        It starts now, or if no event loop runs yet, when it is first read. It fails with ``late`` if it takes
        longer than ``seconds``, and with ``stopped`` if it is cut because the server stops.
        """
        self._seconds, self._late, self._stopped = seconds, late, stopped
        self._pieces = pieces
        self._tell = ended
        self._context = copy_context()
        self._context.run(begin)
        self._cut: Cut | None = None
        self._told = False
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self.waiting: deque[str] = deque()
        self.failure: BaseException | None = None
        self.over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        with suppress(RuntimeError):
            self._start()

    def _start(self) -> None:
        if self._task is None and not self.over.is_set():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._make(), context=self._context)
            # A callback, because a task that is cancelled before its first step runs none of its own code.
            self._task.add_done_callback(self._done, context=self._context)

    def cut(self, why: Cut) -> None:
        """Stop making pieces. Does nothing when the answer is over."""
        if self._task is None:
            self._context.run(self._end, why)
        elif not self._task.done():
            self._cut = self._cut or why
            self._task.cancel()

    def forget(self) -> None:
        """Cut the answer of a reader that is gone; safe to call from any thread, and after the loop has
        closed.
        """
        if self.over.is_set() or (self._task is not None and self._task.done()):
            return
        self._cut = self._cut or Cut.CLIENT
        if self._task is None:
            self._context.run(self._end, Cut.CLIENT)
            return
        try:
            self._loop.call_soon_threadsafe(self.cut, Cut.CLIENT)
        except RuntimeError:
            self._context.run(self._end, Cut.CLIENT)

    async def arrived(self) -> None:
        """Wait until a piece is available or the answer is over."""
        self._start()
        while not self.waiting and not self.over.is_set():
            self._arrived.clear()
            await self._arrived.wait()

    def taken(self) -> str:
        """Return the next piece that waits."""
        piece = self.waiting.popleft()
        self._room.set()
        return piece

    async def _make(self) -> None:
        try:
            async with asyncio.timeout(self._seconds) as budget, aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    self.waiting.append(piece)
                    self._arrived.set()
                    while len(self.waiting) >= BUFFERED:
                        self._room.clear()
                        await self._room.wait()
        except TimeoutError:
            if not budget.expired():
                raise
            raise self._late() from None

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._end(self._cut or Cut.SERVER)
        else:
            self._end(task.exception())

    def _end(self, how: BaseException | Cut | None) -> None:
        if self._told:
            return
        self._told = True
        if isinstance(how, BaseException):
            self.failure = how
        elif how is Cut.SERVER and self._stopped:
            self.failure = self._stopped()
        try:
            self._tell(how)
        except Exception as error:  # noqa: BLE001 - a reader must not wait forever
            _log.error("the end of an answer was not recorded: %s at %s", type(error).__name__, where(error))
        self.over.set()
        self._arrived.set()


class Answer(AsyncIterator[str]):
    """The pieces of an answer, for one reader. Close it, preferably with ``aclosing``; an abandoned one is
    closed once noticed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._forgotten = weakref.finalize(self, run.forget)

    async def __anext__(self) -> str:
        try:
            await self._run.arrived()
        except asyncio.CancelledError as cancelled:
            self._run.cut(cut_by(cancelled))
            raise
        if self._run.waiting:
            return self._run.taken()
        if self._run.failure is not None:
            raise self._run.failure
        raise StopAsyncIteration

    async def aclose(self, why: Cut = Cut.CLIENT) -> None:
        """Cut the answer unless it is over, and wait until its end has been reported."""
        self._run.cut(why)
        self._run.waiting.clear()
        await self._run.over.wait()

    async def text(self) -> str:
        """Return the whole answer."""
        return "".join([piece async for piece in self])


def cut_by(cancelled: asyncio.CancelledError) -> Cut:
    """Return who cancelled: the server if uvicorn says that it stops, otherwise the client."""
    return Cut.SERVER if any("shutdown" in str(each) for each in cancelled.args) else Cut.CLIENT


async def stop(runs: set[Run], seconds: float) -> None:
    """Cut the answers in progress because the server stops, and wait at most ``seconds`` for their ends."""
    under_way = list(runs)
    for run in under_way:
        run.cut(Cut.SERVER)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for run in under_way:
                await run.over.wait()


async def joined(pieces: Pieces) -> AsyncGenerator[str, None]:
    """Yield the pieces, repaired where a model splits a character into two halves or sends only one of them."""
    half = ""
    async with aclosing(pieces):
        async for piece in pieces:
            text = half + piece
            half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
            if text := mend(text[: len(text) - len(half)]):
                yield text
    if half:
        yield mend(half)
