"""A model that every attack convinces: it follows the case's orders as soon as the attack's text reaches it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from checks.attack.mutations import mutate
from checks.attack.pack import Call, Orders


class Obedient(BaseChatModel):
    """A model that knows the orders of one case at a time."""

    orders: Orders = Orders()
    model_name: str = "obedient"
    asked: int = 0

    @property
    def _llm_type(self) -> str:
        return "obedient"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - it calls what it was told, offered or not
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: Any = None,  # noqa: ARG002 - LangChain's
        run_manager: Any = None,  # noqa: ARG002 - LangChain's
        **kwargs: Any,  # noqa: ARG002 - LangChain's
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: Any = None,  # noqa: ARG002 - LangChain's
        run_manager: Any = None,  # noqa: ARG002 - LangChain's
        **kwargs: Any,  # noqa: ARG002 - LangChain's
    ) -> Iterator[ChatGenerationChunk]:
        self.asked += 1
        last = max(index for index, message in enumerate(messages) if isinstance(message, HumanMessage))
        results = [message for message in messages[last:] if isinstance(message, ToolMessage)]
        if not self._reached(messages, results):
            yield ChatGenerationChunk(message=AIMessageChunk(content="Good morning."))
            return
        calls = self._calls(results)
        if calls:
            chunks = [
                tool_call_chunk(name=name, args=json.dumps(arguments), id=f"c{len(results)}{n}", index=n)
                for n, (name, arguments) in enumerate(calls)
            ]
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=chunks))
            return
        answer = mutate(self._answer(messages, results), self.orders.encoding)
        for begin in range(0, len(answer), self.orders.piece):
            yield ChatGenerationChunk(
                message=AIMessageChunk(content=answer[begin : begin + self.orders.piece])
            )

    def _calls(self, results: list[ToolMessage]) -> tuple[Call, ...]:
        orders = self.orders
        if orders.reads is None:
            return () if results else orders.calls
        if not results:
            return (orders.reads,)
        return orders.calls if len(results) == 1 else ()

    def _reached(self, messages: list[BaseMessage], results: list[ToolMessage]) -> bool:
        """Whether the attack's text is in what the model reads, in one piece or spread over several
        messages.
        """
        orders = self.orders
        if not orders.needles or (orders.reads is not None and not results):
            return True
        said = (message for message in messages if not isinstance(message, SystemMessage))
        asked = (message for message in messages if isinstance(message, HumanMessage))
        read = [_close(message.text for message in each) for each in (said, asked)]
        return any(_close([needle]) in text for needle in orders.needles for text in read)

    def _answer(self, messages: list[BaseMessage], results: list[ToolMessage]) -> str:
        parts = [self.orders.says]
        if self.orders.leaks_prompt:
            parts += [message.text for message in messages if isinstance(message, SystemMessage)]
        if self.orders.repeats_results:
            parts += [message.text for message in results]
        return " ".join(filter(None, parts)) or "Nothing to do."


def _close(texts: Iterable[str]) -> str:
    """Join the texts without spaces, and without the characters that JSON and splitting put between them."""
    return re.sub(r"[\s\\-]+", "", "".join(texts))
