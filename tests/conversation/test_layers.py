"""Several middlewares as one do what LangChain's own composition of them does."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ExtendedModelResponse,
    ModelCallLimitMiddleware,
    ModelRequest,
    ToolCallRequest,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.types import Command

from fmops.authorization import human_approval
from fmops.conversation.layers import Layers


class Calling(BaseChatModel):
    """A model that calls the tool once."""

    @property
    def _llm_type(self) -> str:
        return "calling"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(**kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        called = isinstance(messages[-1], ToolMessage)
        calls = [] if called else [{"name": "look_up", "args": {"claim": "C-1"}, "id": "c1"}]
        answer = AIMessage(
            f"It is {messages[-1].text}" if called else "", tool_calls=calls, id=f"a{len(messages)}"
        )
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def look_up(claim: str) -> str:
    """Look a claim up."""
    return f"{claim}: open"


class Noted(AgentMiddleware[Any, Any]):
    """Note the order of calls, and sign every tool's result."""

    def __init__(self, name: str, notes: list[str], command: Command[Any] | None = None) -> None:
        super().__init__()
        self._name, self._notes, self._command = name, notes, command

    @property
    def name(self) -> str:
        return self._name

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[..., Awaitable[Any]]
    ) -> Any:
        self._notes.append(f"model {self._name}")
        response = await handler(request)
        self._notes.append(f"answer {self._name}")
        return ExtendedModelResponse(response, self._command) if self._command else response

    async def awrap_tool_call(self, request: ToolCallRequest, handler: Callable[..., Awaitable[Any]]) -> Any:
        result = await handler(request)
        return result.model_copy(update={"content": f"{result.content} {self._name}"})


class Canned(AgentMiddleware[Any, Any]):
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[..., Awaitable[Any]]
    ) -> Any:
        return AIMessage("Never mind.", id="canned")


async def run(*middleware: AgentMiddleware[Any, Any]) -> list[tuple[str, str]]:
    agent: Any = create_agent(Calling(), [look_up], middleware=middleware)
    state = await agent.ainvoke({"messages": [HumanMessage("Is it open?", id="h1")]})
    return [(message.type, message.text) for message in state["messages"]]


@pytest.mark.parametrize(
    "command", [None, Command(update={"messages": [HumanMessage("Is it [X]?", id="h1")]})]
)
async def test_layers_are_what_langchain_would_make_of_them(command: Command[Any] | None) -> None:
    notes: dict[str, list[str]] = {"layers": [], "langchain": []}
    made = {
        how: [Noted("outer", noted), Noted("middle", noted, command), Noted("inner", noted)]
        for how, noted in notes.items()
    }
    assert await run(Layers(*made["layers"])) == await run(*made["langchain"])
    assert notes["layers"] == notes["langchain"]
    assert notes["layers"][:3] == ["model outer", "model middle", "model inner"]


async def test_a_layer_may_answer_in_the_models_place() -> None:
    notes: list[str] = []
    said = await run(Layers(Noted("outer", notes), Canned(), Noted("inner", notes)))
    assert said == [("human", "Is it open?"), ("ai", "Never mind.")]
    assert notes == ["model outer", "answer outer"]


def test_a_layer_with_steps_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ModelCallLimitMiddleware has .*before_model.*beside the layers"):
        Layers(ModelCallLimitMiddleware(run_limit=1))


async def test_a_wrapped_hook_of_the_base_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrap it as OpenLLMetry does in an application that lets it."""
    wrapped = AgentMiddleware.before_agent

    @functools.wraps(wrapped)
    def before_agent(*args: Any) -> Any:
        return wrapped(*args)

    monkeypatch.setattr(AgentMiddleware, "before_agent", before_agent)
    assert await run(Layers(Noted("only", []))) == await run(Noted("only", []))


def test_layers_extend_the_state_as_their_layers_do() -> None:
    approval = human_approval(["look_up"])
    assert Layers(Noted("outer", []), approval).state_schema is approval.state_schema
    assert Layers(Noted("outer", [])).state_schema is AgentMiddleware.state_schema
