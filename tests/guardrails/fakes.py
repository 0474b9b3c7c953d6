"""Detectors and models that do as they are told."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from fmops.guardrails import Category, Finding, GuardrailEngine, GuardrailSettings, Outcome
from fmops.guardrails.chunking import Limits
from fmops.guardrails.detectors.base import Context, Detector


class Patterns(Detector):
    """A detector that finds what patterns match, and remembers its input."""

    def __init__(
        self,
        name: str,
        patterns: dict[Category, str],
        *,
        spans: bool = True,
        seconds: float = 0.0,
        error: Exception | None = None,
        languages: Sequence[str] = (),
        limits: Limits | None = None,
        in_process: bool = False,
    ) -> None:
        self.name = name
        self.categories = frozenset(patterns)
        self.languages = tuple(languages)
        self.limits = limits or Limits()
        self.in_process = in_process
        self.error = error
        self.seconds = seconds
        self.asked: list[str] = []
        self.contexts: list[Context] = []
        self.gate: threading.Event | None = None
        self._spans = spans
        self._patterns = {category: re.compile(pattern) for category, pattern in patterns.items()}

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        self.asked += texts
        self.contexts.append(context)
        if self.gate:
            self.gate.wait(10)
        if self.seconds:
            time.sleep(self.seconds)
        if self.error:
            raise self.error
        return [list(self._found(text)) for text in texts]

    def _found(self, text: str) -> Iterator[Finding]:
        for category, pattern in self._patterns.items():
            for match in pattern.finditer(text):
                span = match.span() if self._spans else (0, 0)
                yield Finding(category, 0.9, *span)


SSN = r"\b\d{3}-\d{2}-\d{4}\b"
EMAIL = r"\b[\w.]+@[\w.]+\w\b"


def pii(**options: Any) -> Patterns:
    return Patterns("pii", {Category.US_SSN: SSN, Category.EMAIL: EMAIL}, **options)


def toxicity(**options: Any) -> Patterns:
    return Patterns("toxicity", {Category.INSULT: r"(?i)idiot"}, spans=False, **options)


def attacks(**options: Any) -> Patterns:
    return Patterns("checks", {Category.JAILBREAK: r"(?i)ignore .*instructions"}, spans=False, **options)


def engine(*detectors: Detector, outcomes: list[Outcome] | None = None, **settings: Any) -> GuardrailEngine:
    """Return an engine of these detectors, by default one of each sort, with the default rules."""
    made = detectors or (pii(), toxicity(), attacks())
    observers = [outcomes.append] if outcomes is not None else []
    return GuardrailEngine(made, observers=observers, settings=GuardrailSettings.model_validate(settings))


class Scripted(BaseChatModel):
    """A model that says its answers one after another, complete or in the given pieces, and records its input
    and whether it was cancelled."""

    answers: list[Any] = Field(repr=False)
    """Answers: each is a list of pieces (str, or AIMessageChunk), or an AIMessage."""
    delay: float = 0.0
    first_delay: float = 0.0
    read: list[list[BaseMessage]] = Field(default_factory=list, repr=False)
    begun: int = 0
    cancelled: int = 0
    bound: list[Any] = Field(default_factory=list)
    _said: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[getattr(tool, "name", str(tool)) for tool in tools], **kwargs)

    def _pieces(self, messages: list[BaseMessage]) -> list[AIMessageChunk]:
        self.read.append(messages)
        self._said += 1
        turn = sum(isinstance(message, AIMessage) for message in messages)
        answer = self.answers[min(turn, len(self.answers) - 1)]
        if isinstance(answer, AIMessage):
            calls = [
                {
                    "name": call["name"],
                    "args": json.dumps(call["args"]),
                    "id": call["id"],
                    "index": index,
                }
                for index, call in enumerate(answer.tool_calls)
            ]
            return [AIMessageChunk(content=answer.content, tool_call_chunks=calls)]  # type: ignore[arg-type]
        return [AIMessageChunk(content=piece) if isinstance(piece, str) else piece for piece in answer]

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        time.sleep(self.first_delay)
        pieces = self._pieces(messages)
        whole = pieces[0]
        for piece in pieces[1:]:
            whole = whole + piece
        message = AIMessage(content=whole.content, tool_calls=whole.tool_calls, id=f"scripted-{self._said}")
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.begun += 1
        try:
            await asyncio.sleep(self.first_delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        pieces = self._pieces(messages)
        whole = pieces[0]
        for piece in pieces[1:]:
            whole = whole + piece
        message = AIMessage(content=whole.content, tool_calls=whole.tool_calls, id=f"scripted-{self._said}")
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._pieces(messages):
            yield ChatGenerationChunk(message=piece)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.begun += 1
        try:
            await asyncio.sleep(self.first_delay)
            for piece in self._pieces(messages):
                await asyncio.sleep(self.delay)
                yield ChatGenerationChunk(message=piece)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
