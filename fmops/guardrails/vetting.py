"""Checks whole messages and tool results: each of their parts, at once, with the texts that were redacted put back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.types import Command

from fmops.guardrails import content
from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.types import Direction, GuardrailBlocked, Outcome, notice

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound=BaseMessage)


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan(Generic[T]):
    """What is to be checked of something, and what becomes of it when the outcomes are there."""

    parts: Sequence[content.Part]
    conclude: Callable[[Sequence[Outcome]], T]


class Vetting:
    """An engine, for messages and tools. A blocked text raises ``GuardrailBlocked``; a blocked tool result is replaced
    by a notice.
    """

    def __init__(self, engine: GuardrailEngine, *, observe: bool = True) -> None:
        self._engine = engine
        self._observe = observe

    async def messages(self, messages: Sequence[MessageT]) -> list[MessageT]:
        return await _all([self.message(message) for message in messages])

    async def message(self, message: MessageT) -> MessageT:
        return await self._vetted(_message(message))

    async def arguments(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome]:
        return await self._vetted(_arguments(arguments))

    async def result(self, result: Any) -> Any:
        """What a tool gave back: text, structured data, with or without artifact, messages, or a command."""
        return await self._vetted(_result(result))

    def messages_sync(self, messages: Sequence[MessageT]) -> list[MessageT]:
        """One message after another; the detectors of each are still asked at once."""
        return [self.message_sync(message) for message in messages]

    def message_sync(self, message: MessageT) -> MessageT:
        return self._vetted_sync(_message(message))

    def arguments_sync(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome]:
        return self._vetted_sync(_arguments(arguments))

    def result_sync(self, result: Any) -> Any:
        return self._vetted_sync(_result(result))

    async def _vetted(self, plan: _Plan[T]) -> T:
        return plan.conclude(
            await _all(
                [
                    self._engine.check(part.text, part.direction, role=part.role, observe=self._observe)
                    for part in plan.parts
                ]
            )
        )

    def _vetted_sync(self, plan: _Plan[T]) -> T:
        return plan.conclude(
            [
                self._engine.check_sync(part.text, part.direction, role=part.role, observe=self._observe)
                for part in plan.parts
            ]
        )


async def _all(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them at once; one alone needs no task."""
    if len(coroutines) == 1:
        return [await coroutines[0]]
    return list(await asyncio.gather(*coroutines))


def _message(message: MessageT) -> _Plan[MessageT]:
    parts = content.parts(message)

    def conclude(outcomes: Sequence[Outcome]) -> MessageT:
        changed: dict[content.Path, str] = {}
        for part, outcome in zip(parts, outcomes, strict=True):
            if (
                outcome.blocked
                and part.direction is Direction.TOOL_RESULTS
                and isinstance(message, ToolMessage)
            ):
                update = {"content": notice(outcome), "artifact": None, "status": "error"}
                return message.model_copy(update=update)
            if outcome.blocked:
                raise GuardrailBlocked(outcome)
            changed |= part.apply(outcome)
        return content.replace(message, changed)

    return _Plan(parts, conclude)


def _arguments(arguments: dict[str, Any]) -> _Plan[tuple[dict[str, Any], Outcome]]:
    part = content.arguments_part(arguments)
    return _Plan([part], lambda outcomes: (content.rebuilt(arguments, part.apply(outcomes[0])), outcomes[0]))


def _result(result: Any) -> _Plan[Any]:
    match result:
        case BaseMessage():
            return _message(result)
        case Command(update={"messages": list() as messages, **others}):
            inner = _result(messages)
            return _Plan(
                inner.parts,
                lambda outcomes: dataclasses.replace(
                    result, update={**others, "messages": inner.conclude(outcomes)}
                ),
            )
        case Command():
            return _Plan([], lambda _: result)
        case list() if any(isinstance(each, BaseMessage | Command) for each in result):
            return _sequence([_result(each) for each in result])
        case _:
            return _data(result)


def _sequence(plans: list[_Plan[Any]]) -> _Plan[list[Any]]:
    def conclude(outcomes: Sequence[Outcome]) -> list[Any]:
        left = list(outcomes)
        return [plan.conclude([left.pop(0) for _ in plan.parts]) for plan in plans]

    return _Plan([part for plan in plans for part in plan.parts], conclude)


def _data(result: Any) -> _Plan[Any]:
    part = content.result_part(result)
    if not part.leaves:
        return _Plan([], lambda _: result)

    def conclude(outcomes: Sequence[Outcome]) -> Any:
        (outcome,) = outcomes
        if outcome.blocked:
            return (notice(outcome), None) if isinstance(result, tuple) else notice(outcome)
        rebuilt = content.rebuilt(result, part.apply(outcome))
        return tuple(rebuilt) if isinstance(result, tuple) else rebuilt

    return _Plan([part], conclude)
