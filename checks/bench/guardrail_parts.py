"""Models and detectors for the contenders of the guardrails' benchmark."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from fmops.guardrails import (
    Category,
    Finding,
)
from fmops.guardrails.detectors.base import Context, Detector

CHECK = 0.08
FIRST_TOKEN = 0.3


ANSWER = (
    "Your claim was opened on the third of March. The adjuster of the north region has looked at the photos that you"
    " sent, and asks for the invoice of the roofer. As soon as it is here the payment can be decided. "
) * 4


NUMBER = itertools.count()


def question() -> str:
    """Return a question that is never the same twice, so that the cache cannot help."""
    return f"What is the status of claim number {next(NUMBER)}, please? I have been waiting for two weeks."


class Model(BaseChatModel):
    """A model that answers after a while, never quite the same twice."""

    answers: list[AIMessage]
    seconds: float = 0.0
    turn: int = 0

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(**kwargs)

    def _next(self) -> AIMessage:
        answer = self.answers[self.turn % len(self.answers)]
        self.turn += 1
        number = next(NUMBER)
        text = f"{answer.text} {number}" if answer.text else ""
        return answer.model_copy(update={"id": f"a{number}", "content": text})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=self._next())])


class StreamingModel(Model):
    """A model that streams 200 pieces over 1.5 s, after the time to its first token."""

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter() + FIRST_TOKEN
        text = self._next().text
        size = -(-len(text) // 200)
        for index in range(0, len(text), size):
            due = began + 1.5 * index / len(text)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[index : index + size]))


class Instant(Detector):
    """A detector that answers at once, in a worker's thread like a service's."""

    categories = frozenset({Category.INSULT})
    seconds = 0.0

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        if self.seconds:
            time.sleep(self.seconds)
        return [[] for _ in texts]


class Chained(AgentMiddleware[Any, Any]):
    """The moderation chain in an agent: on the user's message before each model call, and on the answer
    after it.
    """

    def __init__(self, before: Any, after: Any) -> None:
        super().__init__()
        self.before, self.after = before, after

    async def abefore_model(self, state: Any, runtime: Any) -> None:
        user = next(message for message in reversed(state["messages"]) if isinstance(message, HumanMessage))
        await self.before.ainvoke(user.text)

    async def aafter_model(self, state: Any, runtime: Any) -> None:
        if text := state["messages"][-1].text:
            await self.after.ainvoke(text)


class Mail(Detector):
    """A detector that finds the planted address, after as long as a service takes."""

    categories = frozenset({Category.EMAIL})

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        time.sleep(CHECK)
        return [
            [Finding(Category.EMAIL, 1.0, *match.span()) for match in re.finditer(r"\S+@\S+\w", text)]
            for text in texts
        ]
