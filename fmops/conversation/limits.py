"""LangChain middleware that ends a turn whose agent goes in circles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from fmops.toolkit.context import RequestContext

MAX_OUTPUT_TOKENS = 4096
"""Maximum output tokens of one model call, unless the deployment sets another limit."""
MODEL_CALLS = 8
"""Maximum model calls per turn."""
GAVE_UP = "I could not finish this. Please ask for one thing at a time."


class ModelCallLimit(AgentMiddleware[AgentState[Any], RequestContext]):
    """Answer in the model's place once a turn has used up its model calls.

    LangChain's own middleware adds two steps to the graph for each model call, and a step costs half a
    millisecond.
    """

    def __init__(self, calls: int = MODEL_CALLS) -> None:
        super().__init__()
        self._calls = calls

    async def awrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        context = request.runtime.context
        context.model_calls += 1
        if context.model_calls > self._calls:
            return ModelResponse(result=[AIMessage(GAVE_UP)])
        return await handler(request)
