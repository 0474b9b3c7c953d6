"""Measurement of model calls where they are made: below the guardrails, sampled or not, failed or not."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.telemetry.prices import prices
from fmops.threads import Threads, run

CALLS = 64
"""Maximum calls at once, unless the caller sets another number."""
CANCELLED = "cancelled"
"""``error.type`` of a call that was abandoned before its end: its tokens are paid for, but not known."""


_meter: ContextVar[list[UsageMetadata] | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[list[UsageMetadata]]:
    """Yield a list that collects the usage of each measured model call within it that reported one, whatever
    its outcome."""
    reported: list[UsageMetadata] = []
    before = _meter.set(reported)
    try:
        yield reported
    finally:
        _meter.reset(before)


class MeasuredChatBedrock(ChatBedrockConverse):
    """Record the GenAI client metrics of the conventions, and the cost, for each call to Bedrock.

    Its asynchronous methods run the synchronous ones in threads, as LangChain's do, but in threads of their
    own: a model takes seconds, and other work would wait for it in the event loop's few threads. A stream that
    is no longer read is closed at once.
    """

    threads: Any = Field(default=None, exclude=True, repr=False)
    """Threads for the calls, one for each that may be in progress."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        with ModelCall(self.model_id) as call:
            result = super()._generate(messages, stop, run_manager, **kwargs)
            for generation in result.generations:
                call.add(generation.message)
            return result

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        manager = run_manager.get_sync() if run_manager else None
        return await run(self.threads or _threads(), self._generate, messages, stop, manager, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with ModelCall(self.model_id) as call:
            for chunk in super()._stream(messages, stop, run_manager, **kwargs):
                call.first_chunk()
                call.add(chunk.message)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        manager = run_manager.get_sync() if run_manager else None
        stream = _Stream(self._stream(messages, stop, manager, **kwargs))
        try:
            while (chunk := await run(self.threads or _threads(), stream.step)) is not None:
                yield chunk
        finally:
            stream.leave()


@cache
def _threads() -> Threads:
    return Threads(CALLS, "model")


class _Stream:
    """A generator that is read in threads, and closed by whichever comes last: its reader, or the thread that
    reads."""

    def __init__(self, chunks: Iterator[ChatGenerationChunk]) -> None:
        self._chunks: Any = chunks
        self._lock = threading.Lock()
        self._left = False

    def step(self) -> ChatGenerationChunk | None:
        """Return the next chunk; None at the end, and when the reader has left."""
        with self._lock:
            chunk: ChatGenerationChunk | None = None if self._left else next(self._chunks, None)
            if self._left:
                self._chunks.close()
            return chunk

    def leave(self) -> None:
        """Close it now, or when the thread that reads it returns."""
        self._left = True
        if self._lock.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._lock.release()


class ModelCall:
    """One call in progress, recorded at its end, whatever the end is."""

    def __init__(self, model_id: str, *, provider: str = "aws.bedrock") -> None:
        self._model_id = model_id
        self._labels = {
            names.GEN_AI_OPERATION: "chat",
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: model_id,
        }
        self._usage: UsageMetadata | None = None
        self._chunks = False

    def __enter__(self) -> ModelCall:
        self._began = time.perf_counter()
        self._reported = _meter.get()
        return self

    def first_chunk(self) -> None:
        """Note a chunk; only the first one is measured."""
        if not self._chunks:
            self._chunks = True
            instruments().time_to_first_chunk.record(time.perf_counter() - self._began, self._labels)

    def add(self, message: BaseMessage) -> None:
        """Note the tokens that a message or chunk reports."""
        if isinstance(message, AIMessage) and message.usage_metadata:
            self._usage = add_usage(self._usage, message.usage_metadata)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        failure = {names.ERROR_TYPE: _error_type(error)} if error else {}
        instruments().operation_duration.record(time.perf_counter() - self._began, self._labels | failure)
        if self._usage:
            self._record_usage(self._usage)
            if self._reported is not None:
                self._reported.append(self._usage)

    def _record_usage(self, usage: UsageMetadata) -> None:
        for kind, tokens in (("input", usage["input_tokens"]), ("output", usage["output_tokens"])):
            instruments().token_usage.record(tokens, self._labels | {names.GEN_AI_TOKEN_TYPE: kind})
        model = {
            names.GEN_AI_PROVIDER: self._labels[names.GEN_AI_PROVIDER],
            names.GEN_AI_REQUEST_MODEL: self._model_id,
        }
        price = prices().price(self._model_id)
        if price is None:
            instruments().unpriced.add(1, model)
            return
        for kind, amount in price.of(usage).items():
            instruments().cost.add(amount, model | {names.GEN_AI_TOKEN_TYPE: kind})


def _error_type(error: BaseException) -> str:
    """Return the service's code, or else the exception's name: bounded, and never a message."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "ClientError")
    return CANCELLED if isinstance(error, GeneratorExit) else type(error).__name__
