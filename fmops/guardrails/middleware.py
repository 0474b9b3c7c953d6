"""LangChain agent middleware: what enters the agent's state is vetted, and so is what tools are given and give back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import override

from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.types import Action, Outcome
from fmops.guardrails.vetting import Vetting, notice

_Result = ToolMessage | Command[Any]


class GuardrailMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Vets messages before the agent runs, each tool call's arguments and result, and the model's answers in state.

    A blocked message raises ``GuardrailBlocked``; a blocked tool call does not run, a blocked tool result is not seen
    by the model: it reads a notice instead. Use it with ``GuardedChatModel``: without that, streamed tokens and
    callbacks are not vetted, whatever is done about the state.
    """

    def __init__(self, engine: GuardrailEngine) -> None:
        super().__init__()
        self._vetting = Vetting(engine)
        self._again = Vetting(engine, observe=False)

    @override
    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        messages: list[BaseMessage] = list(state["messages"])
        old, new = _split(messages)
        vetted = await asyncio.gather(self._again.messages(old), self._vetting.messages(new))
        return _changed(messages, [*vetted[0], *vetted[1]])

    @override
    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        messages: list[BaseMessage] = list(state["messages"])
        old, new = _split(messages)
        return _changed(messages, [*self._again.messages_sync(old), *self._vetting.messages_sync(new)])

    @override
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        last: list[BaseMessage] = [state["messages"][-1]]
        return _changed(last, await self._again.messages(last))

    @override
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        last: list[BaseMessage] = [state["messages"][-1]]
        return _changed(last, self._again.messages_sync(last))

    @override
    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_Result]]
    ) -> _Result:
        arguments, outcome = await self._again.arguments(request.tool_call["args"])
        if outcome.blocked:
            return _refused(request, outcome)
        result = await handler(_with(request, arguments, outcome))
        if isinstance(result, ToolMessage):
            return await self._vetting.message(result)
        messages = _messages(result)
        return _replaced(result, messages, await self._vetting.messages(messages))

    @override
    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _Result]
    ) -> _Result:
        arguments, outcome = self._again.arguments_sync(request.tool_call["args"])
        if outcome.blocked:
            return _refused(request, outcome)
        result = handler(_with(request, arguments, outcome))
        if isinstance(result, ToolMessage):
            return self._vetting.message_sync(result)
        messages = _messages(result)
        return _replaced(result, messages, self._vetting.messages_sync(messages))


def _split(messages: list[BaseMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """The messages up to the last answer, which the cache may know, and those since."""
    for index in range(len(messages), 0, -1):
        message = messages[index - 1]
        if isinstance(message, AIMessage) and not message.tool_calls:
            return messages[:index], messages[index:]
    return [], messages


def _changed(old: list[BaseMessage], new: list[BaseMessage]) -> dict[str, Any] | None:
    """A state update that replaces, by id, the messages that differ."""
    changed = [message for before, message in zip(old, new, strict=True) if message is not before]
    return {"messages": changed} if changed else None


def _with(request: ToolCallRequest, arguments: dict[str, Any], outcome: Outcome) -> ToolCallRequest:
    if outcome.action is not Action.REDACT:
        return request
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _refused(request: ToolCallRequest, outcome: Outcome) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(notice(outcome), tool_call_id=str(call["id"]), name=call["name"], status="error")


def _messages(result: Command[Any]) -> list[BaseMessage]:
    update = result.update if isinstance(result.update, dict) else {}
    return [message for message in update.get("messages", ()) if isinstance(message, BaseMessage)]


def _replaced(result: Command[Any], old: list[BaseMessage], new: list[BaseMessage]) -> Command[Any]:
    if all(after is before for before, after in zip(old, new, strict=True)):
        return result
    by_identity = {id(before): after for before, after in zip(old, new, strict=True)}
    given = cast(dict[str, Any], result.update)
    messages = [by_identity.get(id(message), message) for message in given["messages"]]
    return dataclasses.replace(result, update={**given, "messages": messages})
