"""LangChain middleware that reserves what a model call may cost, and settles what it cost, however it ends."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    EventStreamError,
    NoCredentialsError,
    ParamValidationError,
)
from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from fmops.budgets import estimated_tokens
from fmops.conversation.failures import causes
from fmops.conversation.spending import BudgetExceededError
from fmops.telemetry.model import metered
from fmops.toolkit.context import RequestContext

_NEVER_BEGAN = (ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, ParamValidationError)
_MAY_HAVE_BEGUN = ("ModelTimeoutException", "ModelStreamErrorException")


class BudgetMiddleware(AgentMiddleware[AgentState[Any], RequestContext]):
    """Reserve and settle around each model call. Without a ``spending`` in the context, nothing is counted.

    Place it next to the model, where the request is as it is sent. When a turn's budget is spent between two
    model calls, a sentence that says so replaces the model's answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._schemas: dict[str, int] = {}

    async def awrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        context = request.runtime.context
        spending = context.spending
        if spending is None:
            return await handler(request)
        try:
            reservation = await spending.call(self._input_tokens(request), context.max_tokens)
        except BudgetExceededError as spent:
            context.interaction.finish_reason = "budget_exceeded"
            return ModelResponse(result=[AIMessage(str(spent))])
        with metered() as reported:
            try:
                response = await handler(request)
            except BaseException as error:
                if _cost_nothing(error) and not reported:
                    spending.give_back(reservation)
                else:
                    spending.settle(reservation, _sum(reported))
                raise
        told = (each.usage_metadata for each in response.result if isinstance(each, AIMessage))
        spending.settle(reservation, _sum(reported) or _sum(each for each in told if each))
        return response

    def _input_tokens(self, request: ModelRequest[RequestContext]) -> int:
        texts = [request.system_message.text] if request.system_message else []
        return estimated_tokens([*texts, *_texts(request)]) + sum(
            self._schema_tokens(each) for each in request.tools
        )

    def _schema_tokens(self, tool: BaseTool | dict[str, Any]) -> int:
        name = tool.name if isinstance(tool, BaseTool) else str(tool.get("name", tool))
        if name not in self._schemas:
            self._schemas[name] = tool_tokens([tool])
        return self._schemas[name]


def tool_tokens(tools: Iterable[BaseTool | dict[str, Any]]) -> int:
    """Return the maximum number of tokens in the descriptions of tools."""
    return estimated_tokens(json.dumps(convert_to_openai_tool(each)) for each in tools)


def _texts(request: ModelRequest[RequestContext]) -> Iterator[str]:
    for message in request.messages:
        yield message.text
        if isinstance(message, AIMessage):
            yield from (json.dumps(call["args"], default=str) + call["name"] for call in message.tool_calls)


def _sum(usages: Iterable[UsageMetadata]) -> UsageMetadata | None:
    total: UsageMetadata | None = None
    for each in usages:
        total = add_usage(total, each)
    return total


def _cost_nothing(error: BaseException) -> bool:
    """Return whether the model never began. A call that it refuses is not billed; a stream that broke or was
    abandoned is."""
    for each in causes(error):
        if isinstance(each, _NEVER_BEGAN):
            return True
        if isinstance(each, ClientError) and not isinstance(each, EventStreamError):
            return each.response.get("Error", {}).get("Code") not in _MAY_HAVE_BEGUN
    return False
