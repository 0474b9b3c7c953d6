"""LangChain middleware that writes what the agent did, without content, into the current interaction."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.errors import GraphInterrupt
from langgraph.types import Command

from fmops.authorization.middleware import DENIED
from fmops.interaction import ToolCall
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.toolkit.context import RequestContext

UNKNOWN_TOOL = "_OTHER"
"""Stand-in for a tool name that the model made up, which only the model sees again."""


class RecordingMiddleware(AgentMiddleware[AgentState[Any], RequestContext]):
    """Record the token usage of every model call, and the name, outcome and duration of every tool call."""

    async def awrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        response = await handler(request)
        usage = request.runtime.context.interaction.usage
        for message in response.result:
            if isinstance(message, AIMessage) and message.usage_metadata:
                usage.input_tokens += message.usage_metadata["input_tokens"]
                usage.output_tokens += message.usage_metadata["output_tokens"]
        return response

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        started = time.perf_counter()
        status: Literal["success", "error", "denied", "blocked", "waiting"] = "error"
        try:
            result = await handler(request)
            status = _status(result)
        except GraphInterrupt:
            status = "waiting"
            raise
        finally:
            seconds = time.perf_counter() - started
            context: Any = request.runtime.context
            name = request.tool_call["name"] if request.tool else UNKNOWN_TOOL
            call = ToolCall(name=name, status=status, duration_ms=round(seconds * 1000, 3))
            context.interaction.tool_calls.append(call)
            labels = {
                names.GEN_AI_OPERATION: "execute_tool",
                names.GEN_AI_TOOL_NAME: call.name,
                names.TOOL_STATUS: status,
            }
            instruments().tool_duration.record(seconds, labels)
        return result


def _status(result: ToolMessage | Command[Any]) -> Literal["success", "error", "denied"]:
    if isinstance(result, ToolMessage) and result.status == "error":
        return "denied" if result.content == DENIED else "error"
    return "success"
