"""LangChain middleware that measures every model call, sampled or not, failed or not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments


class TelemetryMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """GenAI client metrics with the labels of the semantic conventions."""

    def __init__(self, *, model_id: str, provider: str = "aws.bedrock") -> None:
        super().__init__()
        self._labels = {
            names.GEN_AI_OPERATION: "chat",
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: model_id,
        }

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        started = time.perf_counter()
        try:
            response = await handler(request)
        except BaseException as error:
            self._failed(started, error)
            raise
        self._succeeded(started, response)
        return response

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        started = time.perf_counter()
        try:
            response = handler(request)
        except BaseException as error:
            self._failed(started, error)
            raise
        self._succeeded(started, response)
        return response

    def _failed(self, started: float, error: BaseException) -> None:
        labels = {**self._labels, names.ERROR_TYPE: type(error).__name__}
        instruments().operation_duration.record(time.perf_counter() - started, labels)

    def _succeeded(self, started: float, response: ModelResponse[Any]) -> None:
        instruments().operation_duration.record(time.perf_counter() - started, self._labels)
        for message in response.result:
            if isinstance(message, AIMessage) and message.usage_metadata:
                for kind, tokens in (
                    ("input", message.usage_metadata["input_tokens"]),
                    ("output", message.usage_metadata["output_tokens"]),
                ):
                    instruments().token_usage.record(tokens, {**self._labels, names.GEN_AI_TOKEN_TYPE: kind})
