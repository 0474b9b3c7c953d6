"""The flow through a gate: the model's stream on one side, checks in progress, vetted chunks on the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from typing import Any, Protocol, cast

from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.gate import Gate, call_chunks
from fmops.guardrails.types import Direction, GuardrailBlocked, Outcome
from fmops.guardrails.vetting import Answers, Vetting
from fmops.guardrails.windows import Window

_Checked = tuple[Window, asyncio.Task[Outcome]] | asyncio.Task[ChatResult] | BaseException | None

listener: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("listener", default=None)
"""Function that is told the vetted texts of models' answers as they come, and for which the models wait.

With a listener, whole answers are read from streams too. LangChain's own way, callbacks, passes each piece through
every handler of the run.
"""


class Flow(Protocol):
    """A model call in progress or done. Only vetted parts leave it; otherwise ``GuardrailBlocked`` is
    raised.
    """

    def begin(self) -> None:
        """Begin now; otherwise it begins when it is first asked for something."""

    def chunks(self) -> AsyncIterator[ChatGenerationChunk]: ...

    async def result(self) -> ChatResult: ...

    async def cancel(self) -> None:
        """Stop the model call and the checks in progress."""


class WholeFlow:
    """A model call whose answer comes all at once."""

    def __init__(
        self, engine: GuardrailEngine, source: Coroutine[Any, Any, ChatResult], answers: Answers
    ) -> None:
        self._vetting = Vetting(engine)
        self._answers = answers
        self._source = source
        self._task: asyncio.Task[ChatResult] | None = None

    def begin(self) -> None:
        self._task = self._task or asyncio.create_task(self._vetted())

    async def chunks(self) -> AsyncIterator[ChatGenerationChunk]:
        for generation in (await self.result()).generations:
            yield as_chunk(generation)

    async def result(self) -> ChatResult:
        self.begin()
        return await cast(asyncio.Task[ChatResult], self._task)

    async def cancel(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._source.close()

    async def _vetted(self) -> ChatResult:
        try:
            result = await self._source
        except Exception as error:  # noqa: BLE001 - raised again outside, lest the original go on as its context
            raised = await self._vetting.error(error, Direction.OUTPUT)
        else:
            return await self._vetting.chat_result(result, self._answers)
        raise raised


class StreamFlow:
    """A model call whose answer comes in pieces, checked as they come."""

    def __init__(
        self,
        engine: GuardrailEngine,
        source: AsyncIterator[ChatGenerationChunk],
        answers: Answers = frozenset(),
    ) -> None:
        self._engine = engine
        self._vetting = Vetting(engine)
        self._answers = answers
        self._gate = Gate(engine.settings.stream)
        self._checked: asyncio.Queue[_Checked] = asyncio.Queue()
        self._tasks: list[asyncio.Task[Any]] = []
        self._source = source

    def begin(self) -> None:
        if not self._tasks:
            self._task(self._produce(self._source))

    async def chunks(self) -> AsyncIterator[ChatGenerationChunk]:
        self.begin()
        try:
            while (item := await self._checked.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, tuple):
                    window, check = item
                    outcome = await check
                    if outcome.blocked:
                        raise GuardrailBlocked(outcome)
                    chunk = self._gate.released(window, window.lane.release(window, outcome.redactions))
                    if chunk:
                        yield chunk
                else:
                    yield self._gate.released_rest((await item).generations[0])
        finally:
            await self.cancel()

    async def result(self) -> ChatResult:
        tell = listener.get()
        chunks: list[ChatGenerationChunk] = []
        async for chunk in self.chunks():
            chunks.append(chunk)
            if tell and (text := chunk.message.text):
                await tell(text)
        return generate_from_stream(iter(chunks))

    async def cancel(self) -> None:
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _produce(self, source: AsyncIterator[ChatGenerationChunk]) -> None:
        try:
            async for chunk in source:
                for window in self._gate.feed(chunk):
                    self._check(window)
            for window in self._gate.finish():
                self._check(window)
            if rest := self._gate.rest():
                self._checked.put_nowait(self._task(self._vetting.chat_result(_alone(rest), self._answers)))
            self._checked.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - raised again where the chunks are awaited
            self._checked.put_nowait(await self._vetting.error(error, Direction.OUTPUT))

    def _check(self, window: Window) -> None:
        self._checked.put_nowait((window, self._task(self._engine.check(window.text, Direction.OUTPUT))))

    def _task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        return task


def _alone(generation: ChatGeneration) -> ChatResult:
    return ChatResult(generations=[generation])


def as_chunk(generation: ChatGeneration) -> ChatGenerationChunk:
    """Return a whole answer as the only chunk of a stream."""
    message = cast(AIMessage, generation.message)
    fields = {**vars(message), **(message.__pydantic_extra__ or {})}
    for name in ("type", "tool_calls", "invalid_tool_calls"):
        fields.pop(name, None)
    chunk = AIMessageChunk(**fields, tool_call_chunks=call_chunks(message), chunk_position="last")
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)


def flow_sync(
    engine: GuardrailEngine, source: Iterator[ChatGenerationChunk], answers: Answers = frozenset()
) -> Iterator[ChatGenerationChunk]:
    """Run ``StreamFlow`` without an event loop: checked windows go out whenever the model's next chunk
    arrives.
    """
    gate = Gate(engine.settings.stream)
    checks: deque[tuple[Window, Future[Outcome]]] = deque()

    def check(window: Window) -> None:
        context = copy_context()
        future = engine.waiters.submit(context.run, engine.check_sync, window.text, Direction.OUTPUT)
        checks.append((window, future))

    def release(*, wait: bool) -> Iterator[ChatGenerationChunk]:
        while checks and (wait or checks[0][1].done()):
            window, future = checks.popleft()
            outcome = future.result()
            if outcome.blocked:
                raise GuardrailBlocked(outcome)
            if chunk := gate.released(window, window.lane.release(window, outcome.redactions)):
                yield chunk

    vetting = Vetting(engine)
    for chunk in _vetted_errors(source, vetting):
        for window in gate.feed(chunk):
            check(window)
        yield from release(wait=False)
    for window in gate.finish():
        check(window)
    rest = gate.rest()
    vetted = rest and engine.waiters.submit(
        copy_context().run, vetting.chat_result_sync, _alone(rest), answers
    )
    yield from release(wait=True)
    if vetted:
        yield gate.released_rest(vetted.result().generations[0])


def _vetted_errors(source: Iterator[ChatGenerationChunk], vetting: Vetting) -> Iterator[ChatGenerationChunk]:
    """Yield from ``source``; raise its error in vetted form."""
    try:
        yield from source
    except Exception as error:  # noqa: BLE001 - raised again outside, lest the original go on as its context
        raised = vetting.error_sync(error, Direction.OUTPUT)
    else:
        return
    raise raised
