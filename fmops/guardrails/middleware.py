"""LangChain agent middleware: whatever enters the agent's state is vetted, and so are tools' arguments and
results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import override

from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.tools import guarded
from fmops.guardrails.types import WITHHELD, Direction, Outcome, notice
from fmops.guardrails.vetting import Answers, MessageT, Vetting

_Result = ToolMessage | Command[Any]


class GuardrailMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Vet messages before the agent runs, each tool call's arguments and result, and the model's answers in
    state.

    A blocked message raises ``GuardrailBlocked``. A blocked tool call does not run, and the model does not see
    a blocked tool result: it reads a notice instead. Use it with ``GuardedChatModel``; otherwise, streamed
    tokens and callbacks are not vetted, even though the state is.

    With the engine's ``speculative`` setting, the model reads a tool's text while it is being checked, and also
    a user's text that ``sealed`` replaced. State, checkpoints and callbacks hold the seal until the verdict.
    """

    def __init__(self, engine: GuardrailEngine) -> None:
        super().__init__()
        self._seals = engine.seals
        self._sealing = engine.seals if engine.settings.speculative else None
        self._vetting = Vetting(engine)
        self._again = Vetting(engine, observe=False)
        self._tools: dict[str, tuple[BaseTool, BaseTool]] = {}
        """Tools by name, each with its guarded copy."""

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
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        response = await handler(request)
        messages = await self._again.messages(response.result, _answers(request))
        structured = await self._again.data(response.structured_response, Direction.OUTPUT)
        return self._kept(request, replace(response, result=messages, structured_response=structured))

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        response = handler(request)
        messages = self._again.messages_sync(response.result, _answers(request))
        structured = self._again.data_sync(response.structured_response, Direction.OUTPUT)
        return self._kept(request, replace(response, result=messages, structured_response=structured))

    def sealed(self, message: MessageT) -> MessageT:
        """Return ``message`` for the agent's input, sealed if its text is plain and checks may overlap the
        model call."""
        if self._sealing is None or not isinstance(message.content, str):
            return message
        return message.model_copy(update={"content": self._sealing.seal(message.content)})

    @override
    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_Result]]
    ) -> _Result:
        arguments, outcome = await self._again.arguments(request.tool_call["args"])
        if outcome and outcome.blocked:
            return _refused(request, outcome)
        try:
            result = await handler(self._guarded(request, arguments))
        except Exception as error:  # noqa: BLE001 - raised again outside, lest the original go on as its context
            raised = await self._again.error(error, _way(error))
        else:
            return _marked(request, await self._again.result(result))
        raise raised

    @override
    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _Result]
    ) -> _Result:
        arguments, outcome = self._again.arguments_sync(request.tool_call["args"])
        if outcome and outcome.blocked:
            return _refused(request, outcome)
        try:
            result = handler(self._guarded(request, arguments))
        except Exception as error:  # noqa: BLE001 - raised again outside, lest the original go on as its context
            raised = self._again.error_sync(error, _way(error))
        else:
            return _marked(request, self._again.result_sync(result))
        raise raised

    def _kept(
        self, request: ModelRequest[Any], response: ModelResponse[Any]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Return the vetted answer, with the vetted messages in place of the seals that the model read."""
        if self._sealing is None:
            return response
        before: list[BaseMessage] = list(request.state["messages"])
        opened = _changed(before, [self._seals.vetted(message) for message in before])
        return ExtendedModelResponse(response, Command(update=opened)) if opened else response

    def _guarded(self, request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
        if request.tool is not None:
            request = request.override(tool=self._guarded_tool(request.tool))
        if arguments != request.tool_call["args"]:
            request = request.override(tool_call={**request.tool_call, "args": arguments})
        return request

    def _guarded_tool(self, tool: BaseTool) -> BaseTool:
        """Return the guarded copy, made once: LangChain reads the type hints of each tool that it has not seen."""
        known = self._tools.get(tool.name)
        if known is None or known[0] is not tool:
            known = self._tools[tool.name] = (tool, guarded(tool, self._vetting, self._sealing))
        return known[1]


def _split(messages: list[BaseMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """Return the messages up to the last answer, which the cache may know, and those after it."""
    for index in range(len(messages), 0, -1):
        message = messages[index - 1]
        if isinstance(message, AIMessage) and not message.tool_calls:
            return messages[:index], messages[index:]
    return [], messages


def _changed(old: list[BaseMessage], new: list[BaseMessage]) -> dict[str, Any] | None:
    """Return a state update that replaces, by id, the messages that differ, or all of them if an id differs."""
    if any(after.id != before.id for before, after in zip(old, new, strict=True)):
        return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), *new]}
    changed = [message for before, message in zip(old, new, strict=True) if message is not before]
    return {"messages": changed} if changed else None


def _answers(request: ModelRequest[Any]) -> Answers:
    """Return the tools whose calls are the agent's structured answer."""
    schemas = getattr(request.response_format, "schema_specs", ()) or ()
    if schema := getattr(request.response_format, "schema", None) if not schemas else None:
        schemas = ToolStrategy(schema).schema_specs
    return frozenset(each.name for each in schemas)


def _way(error: Exception) -> Direction:
    """Return an error's direction: an interrupt for a human shows the call; every other error is the tool's
    text.
    """
    return Direction.TOOL_ARGUMENTS if isinstance(error, GraphBubbleUp) else Direction.TOOL_RESULTS


def _marked(request: ToolCallRequest, result: Any) -> _Result:
    """Return a withheld result marked as an error for the model, as a message whatever it was."""
    if isinstance(result, str):
        call = request.tool_call
        return ToolMessage(result, tool_call_id=str(call["id"]), name=call["name"], status="error")
    if isinstance(result, ToolMessage) and str(result.content).startswith(WITHHELD):
        return result.model_copy(update={"status": "error"})
    return cast(_Result, result)


def _refused(request: ToolCallRequest, outcome: Outcome) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(notice(outcome), tool_call_id=str(call["id"]), name=call["name"], status="error")
