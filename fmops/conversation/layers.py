"""Several LangChain middlewares as one, which costs a call a fraction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import getattr_static, unwrap
from typing import Any

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.types import Command

from fmops.toolkit.context import RequestContext

_ToModel = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
_ToTool = Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
_AroundModel = Callable[
    [ModelRequest[Any], _ToModel],
    Awaitable[ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]],
]
_BASE: Any = AgentMiddleware
_AROUND = ("awrap_model_call", "awrap_tool_call")
_STEPS = tuple(
    f"{prefix}{step}"
    for step in ("before_agent", "before_model", "after_model", "after_agent")
    for prefix in ("", "a")
)


class Layers(AgentMiddleware[AgentState[Any], RequestContext]):
    """Compose what middlewares put around model and tool calls, the first one outermost.

    LangChain surrounds every hook of every middleware with LangSmith's tracing, which costs more than the hooks
    themselves, even when it is off. Composed here, a call pays for it once. The agent must run asynchronously.
    """

    def __init__(self, *layers: AgentMiddleware[Any, Any]) -> None:
        """Compose ``layers``, of which one may extend the agent's state. Raises ``ValueError`` for one that has
        steps of its own in the agent's graph."""
        super().__init__()
        for layer in layers:
            if steps := [name for name in _STEPS if _has(layer, name)]:
                raise ValueError(
                    f"{layer.name} has {', '.join(steps)}: give it to the agent beside the layers"
                )
            if layer.state_schema is not _BASE.state_schema:
                self.state_schema = layer.state_schema
        around_model, around_tool = (
            [getattr(layer, name) for layer in layers if _has(layer, name)] for name in _AROUND
        )
        self._around_model: list[_AroundModel] = around_model[::-1]
        self._around_tool = around_tool[::-1]

    async def awrap_model_call(
        self, request: ModelRequest[RequestContext], handler: _ToModel
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        commands: dict[_AroundModel, Command[Any]] = {}
        for around in self._around_model:
            handler = partial(_response, around, handler, commands)
        response = await handler(request)
        if not commands:
            return response
        (command,) = commands.values()
        return ExtendedModelResponse(response, command)

    async def awrap_tool_call(self, request: ToolCallRequest, handler: _ToTool) -> ToolMessage | Command[Any]:
        for around in self._around_tool:
            handler = partial(around, handler=handler)
        return await handler(request)


async def _response(
    around: _AroundModel,
    handler: _ToModel,
    commands: dict[_AroundModel, Command[Any]],
    request: ModelRequest[Any],
) -> ModelResponse[Any]:
    """Return a layer's response for the next layer; its command, if it has one, is kept for the graph."""
    commands.pop(around, None)
    response = await around(request, handler)
    if isinstance(response, AIMessage):
        return ModelResponse(result=[response])
    if isinstance(response, ExtendedModelResponse):
        if response.command is not None:
            commands[around] = response.command
        return response.model_response
    return response


def _has(layer: AgentMiddleware[Any, Any], hook: str) -> bool:
    """Return whether the layer has a hook of its own; an instrumentation may have wrapped the base's."""
    own, base = (unwrap(getattr_static(kind, hook)) for kind in (type(layer), AgentMiddleware))
    return own is not base
