"""LangChain middleware that gives each turn the prompt that serves when it begins, and records its version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import SystemMessage

from fmops.prompts import PromptSource
from fmops.toolkit.context import RequestContext


class PromptMiddleware(AgentMiddleware[AgentState[Any], RequestContext]):
    """Use one prompt for all model calls of a turn, even if another is promoted meanwhile."""

    def __init__(self, prompts: PromptSource) -> None:
        super().__init__()
        self._prompts = prompts

    async def awrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        return await handler(self._prompted(request))

    def wrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        return handler(self._prompted(request))

    def _prompted(self, request: ModelRequest[RequestContext]) -> ModelRequest[RequestContext]:
        context = request.runtime.context
        if context.prompt is None:
            context.prompt = self._prompts.current
            context.interaction.prompt_version = context.prompt.version
        return request.override(system_message=SystemMessage(context.prompt.render()))
