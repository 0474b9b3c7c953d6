"""Checks whole messages: each of their parts, at once, with the texts that were redacted put back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, ToolMessage

from fmops.guardrails import content
from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.types import Direction, GuardrailBlocked, Outcome

MessageT = TypeVar("MessageT", bound=BaseMessage)


class Vetting:
    """An engine, for messages. A blocked text raises ``GuardrailBlocked``; a blocked tool result is replaced by a notice."""

    def __init__(self, engine: GuardrailEngine, *, observe: bool = True) -> None:
        self._engine = engine
        self._observe = observe

    async def messages(self, messages: Sequence[MessageT]) -> list[MessageT]:
        return list(await asyncio.gather(*map(self.message, messages)))

    async def message(self, message: MessageT) -> MessageT:
        parts = content.parts(message)
        outcomes = await asyncio.gather(
            *(
                self._engine.check(part.text, part.direction, role=part.role, observe=self._observe)
                for part in parts
            )
        )
        return _applied(message, parts, outcomes)

    async def arguments(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome]:
        part = content.arguments_part(arguments)
        outcome = await self._engine.check(part.text, part.direction, role=part.role, observe=self._observe)
        return content.rebuilt(arguments, part.apply(outcome)), outcome

    def messages_sync(self, messages: Sequence[MessageT]) -> list[MessageT]:
        """One message after another; the detectors of each are still asked at once."""
        return [self.message_sync(message) for message in messages]

    def message_sync(self, message: MessageT) -> MessageT:
        parts = content.parts(message)
        outcomes = [
            self._engine.check_sync(part.text, part.direction, role=part.role, observe=self._observe)
            for part in parts
        ]
        return _applied(message, parts, outcomes)

    def arguments_sync(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], Outcome]:
        part = content.arguments_part(arguments)
        outcome = self._engine.check_sync(part.text, part.direction, role=part.role, observe=self._observe)
        return content.rebuilt(arguments, part.apply(outcome)), outcome


def notice(outcome: Outcome) -> str:
    """What the model reads where a tool's result or call was blocked."""
    return f"Withheld by a guardrail ({outcome.summary()['category'] or 'blocked'}). Do not try again."


def _applied(message: MessageT, parts: Sequence[content.Part], outcomes: Sequence[Outcome]) -> MessageT:
    changed: dict[content.Path, str] = {}
    for part, outcome in zip(parts, outcomes, strict=True):
        if outcome.blocked and part.direction is Direction.TOOL_RESULTS and isinstance(message, ToolMessage):
            return message.model_copy(
                update={"content": notice(outcome), "artifact": None, "status": "error"}
            )
        if outcome.blocked:
            raise GuardrailBlocked(outcome)
        changed |= part.apply(outcome)
    return content.replace(message, changed)
