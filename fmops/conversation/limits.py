"""LangChain middleware that ends a turn whose agent goes in circles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from fmops.toolkit.context import RequestContext

MAX_OUTPUT_TOKENS = 4096
"""Of one model call, where the deployment does not say otherwise."""
MODEL_CALLS = 8
"""Of one turn."""
GAVE_UP = "I could not finish this. Please ask for one thing at a time."


class ModelCallLimit(AgentMiddleware[AgentState[Any], RequestContext]):
    """Answers in the model's place once a turn has called it so many times.

    LangChain's own middleware adds two steps to the graph for each model call, and a step costs half a millisecond.
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
