"""Delivery of records to the sinks after their answers are given: redacted, embedded if there is time, and
handed over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from langchain_core.embeddings import Embeddings
from opentelemetry import trace

from fmops import deadline
from fmops.guardrails import Direction, GuardrailEngine, begin_turn, current_turn
from fmops.interaction import Embedding, Interaction
from fmops.telemetry import attributes as names
from fmops.threads import Threads, run

EMBEDDINGS = 4
"""Maximum embeddings in progress at once."""
EMBEDDING_SECONDS = 5.0
"""Seconds for an embedding, including its wait for a thread; after that, its record goes without it."""
STOP_SECONDS = 10.0
"""Seconds for everything at a stop, unless the caller gives another time."""

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer(__name__)


class Sink(Protocol):
    """A receiver of captured records; ``put`` never waits for their delivery."""

    def put(self, record: Any) -> object: ...

    def flush(self) -> object: ...

    def close(self, timeout: float) -> object: ...


class Captures:
    """Hand records to their sink. Neither an answer nor a stop waits for an embedding."""

    def __init__(
        self,
        sink: Sink,
        *,
        raw_sink: Sink | None,
        guardrails: GuardrailEngine,
        embeddings: Embeddings,
        embedding_model_id: str,
        embedding_seconds: float = EMBEDDING_SECONDS,
    ) -> None:
        self._sink = sink
        self._raw_sink = raw_sink
        self._sinks: Sequence[Sink] = [sink, *([raw_sink] if raw_sink else [])]
        self._guardrails = guardrails
        self._embeddings = embeddings
        self._embedding_model_id = embedding_model_id
        self._seconds = embedding_seconds
        self._embedders = Threads(EMBEDDINGS, "embedding")
        self._threads = Threads(EMBEDDINGS, "capturing")
        self._under_way: set[asyncio.Task[object]] = set()
        self._embedding: set[asyncio.Future[list[float]]] = set()
        self._stopping = False

    @property
    def raw(self) -> bool:
        """Return whether texts before redaction are captured."""
        return self._raw_sink is not None

    def take(self, interaction: Interaction) -> None:
        """Capture the record, off the request path."""
        turn = current_turn()
        disclosed = bool(turn and turn.disclosed)
        if not self._aside(self._capture(interaction, disclosed=disclosed)):
            self._put_unredacted(interaction, disclosed=disclosed)

    def take_raw(self, record: Any) -> None:
        """Capture the record of texts before redaction."""
        if self._raw_sink is not None and not self._aside(self._put(self._raw_sink, record)):
            self._raw_sink.put(record)

    async def flush(self) -> None:
        """Wait until everything taken so far is delivered, or in the spool."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await asyncio.gather(*(run(self._threads, sink.flush) for sink in self._sinks))

    async def close(self, seconds: float = STOP_SECONDS) -> None:
        """Hand over everything taken, without the embeddings that are not ready, and deliver it within
        ``seconds``."""
        ends_at = asyncio.get_running_loop().time() + seconds
        self._stopping = True
        for each in self._embedding:
            each.cancel()
        if self._under_way:
            # The records that still need redaction must not take up the time for delivery.
            _, late = await asyncio.wait(self._under_way, timeout=seconds / 4)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        left = max(0.0, ends_at - asyncio.get_running_loop().time())
        closing = Threads(len(self._sinks), "capture-close")
        await asyncio.gather(*(run(closing, sink.close, left) for sink in self._sinks))

    def _aside(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run ``work`` in the background and return True; without an event loop, return False, since no one
        would wait for it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            work.close()
            return False
        task = loop.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    async def _capture(self, interaction: Interaction, *, disclosed: bool) -> None:
        # The time budget of the turn does not apply to its record.
        deadline.begin(None)
        with _tracer.start_as_current_span("capture") as span:
            redacted = False
            try:
                if disclosed and interaction.output:
                    await self._redact(interaction)
                redacted = True
                if interaction.input:
                    await self._embed(interaction, span)
            except asyncio.CancelledError:
                if redacted:
                    self._sink.put(interaction)
                else:
                    self._put_unredacted(interaction, disclosed=disclosed)
                raise
            await self._put(self._sink, interaction)

    async def _put(self, sink: Sink, record: Any) -> None:
        """Put the record in a thread, since the disk may be slow. Cancelling the wait does not cancel the
        record.
        """
        await asyncio.shield(asyncio.wrap_future(self._threads.submit(sink.put, record)))

    async def _redact(self, interaction: Interaction) -> None:
        """Redact what a tool disclosed to the caller alone, since others read the record."""
        # In a turn of its own, in which nothing was disclosed.
        begin_turn()
        outcome = await self._guardrails.check(interaction.output, Direction.OUTPUT, observe=False)
        interaction.output = outcome.text

    async def _embed(self, interaction: Interaction, span: trace.Span) -> None:
        """Embed the question, or record why not: a record without its embedding is better than none."""
        future = asyncio.ensure_future(run(self._embedders, self._embeddings.embed_query, interaction.input))
        self._embedding.add(future)
        try:
            await asyncio.wait((future,), timeout=0 if self._stopping else self._seconds)
            if future.done() and not future.cancelled():
                interaction.embedding = Embedding.encode(self._embedding_model_id, future.result())
                return
            interaction.embedding_error = "ServerStopped" if self._stopping else "Timeout"
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is delivered
            interaction.embedding_error = type(error).__name__
        finally:
            self._embedding.discard(future)
            future.cancel()
        span.set_attribute(names.ERROR_TYPE, interaction.embedding_error)
        _log.warning(
            "interaction %s has no embedding: %s", interaction.interaction_id, interaction.embedding_error
        )

    def _put_unredacted(self, interaction: Interaction, *, disclosed: bool) -> None:
        """Put the record without redacting it first; leave out what was disclosed to the caller alone."""
        if disclosed:
            interaction.output = ""
        if interaction.input and interaction.embedding is None:
            interaction.embedding_error = "ServerStopped"
        self._sink.put(interaction)
