"""LangChain middleware next to model and tools: it limits answers, records the finish reason, and attributes
errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from fmops.guardrails import GuardrailBlocked
from fmops.guardrails.messages import CALL_BLOCKS
from fmops.interaction import FinishReason
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeUnavailableError

_log = logging.getLogger(__name__)

DOCUMENTS_UNAVAILABLE = (
    "The documents cannot be read at the moment. Tell the user so, and suggest to ask again in a few minutes. Do not "
    "say from memory what they may contain."
)
"""Result of a search, for the model, while the knowledge base does not answer."""

_FIELDS = ("stopReason", "stop_reason", "finish_reason", "done_reason", "completion_reason")
"""Fields of a message's ``response_metadata`` with the finish reason: Bedrock Converse's, Anthropic's, OpenAI's
and Google's, Ollama's, Titan's."""

_MEANINGS: dict[FinishReason, tuple[str, ...]] = {
    "stop": (
        "stop", "end_turn", "stop_sequence", "tool_use", "tool_calls", "function_call", "pause_turn",
        "complete", "completed", "finish", "finished", "eos", "eos_token", "load",
    ),
    "length": (
        "length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "model_length", "error_limit",
    ),
    "content_filter": (
        "content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "recitation", "blocklist",
        "prohibited_content", "spii", "image_safety", "language", "error_toxic",
    ),
    "error": (
        "malformed_model_output", "malformed_tool_use", "malformed_function_call", "unexpected_tool_call", "error",
    ),
}  # fmt: skip
_REASONS = {word: reason for reason, words in _MEANINGS.items() for word in words}


class CallFailedError(Exception):
    """A call of the model, or of the named tool, failed; the cause says how."""

    def __init__(self, tool: str = "") -> None:
        super().__init__(f"the tool {tool} failed" if tool else "the model failed")
        self.tool = tool


class CallsMiddleware(AgentMiddleware[AgentState[Any], RequestContext]):
    """Limit and observe the calls of the model and the tools.

    Place it innermost, so that the actions of other middleware are not attributed to the model or a tool.
    """

    async def awrap_model_call(
        self,
        request: ModelRequest[RequestContext],
        handler: Callable[[ModelRequest[RequestContext]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        context = request.runtime.context
        if context.max_tokens:
            settings = {**request.model_settings, "max_tokens": context.max_tokens}
            request = request.override(model_settings=settings)
        try:
            response = await handler(request)
        except (GuardrailBlocked, GraphBubbleUp):
            raise
        except Exception as error:
            raise CallFailedError from error
        for index, message in enumerate(response.result):
            if isinstance(message, AIMessage):
                context.finish = finish_reason(message)
                response.result[index] = _whole_calls(message, context.finish)
        return response

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        call = request.tool_call
        try:
            return await handler(request)
        except (GuardrailBlocked, GraphBubbleUp):
            raise
        except KnowledgeUnavailableError:
            return ToolMessage(
                DOCUMENTS_UNAVAILABLE, tool_call_id=call["id"], name=call["name"], status="error"
            )
        except Exception as error:
            raise CallFailedError(call["name"] if request.tool else "_OTHER") from error


def finish_reason(message: AIMessage) -> FinishReason:
    """Return why the model stopped, in OpenAI's terms; ``error`` when its answer cannot be used."""
    said = message.response_metadata
    if message.additional_kwargs.get("refusal"):
        return "content_filter"
    details = said.get("incomplete_details")
    reason = (details.get("reason") if isinstance(details, dict) else None) or next(
        (said[field] for field in _FIELDS if said.get(field)), "stop"
    )
    word = str(reason).rpartition(".")[2].lower()
    if word not in _REASONS:
        _log.warning("the model stopped for an unknown reason, which is treated as stop")
    return _REASONS.get(word, "stop")


def _whole_calls(message: AIMessage, finish: FinishReason) -> AIMessage:
    """Return ``message`` without the tool calls of an answer that was cut: their arguments may be cut too, and
    still be valid."""
    if finish == "stop" or not (message.tool_calls or message.invalid_tool_calls):
        return message
    extra = {
        key: each
        for key, each in message.additional_kwargs.items()
        if key not in ("tool_calls", "function_call")
    }
    content = message.content
    if isinstance(content, list):
        content = [each for each in content if isinstance(each, str) or each.get("type") not in CALL_BLOCKS]
    update = {"tool_calls": [], "invalid_tool_calls": [], "additional_kwargs": extra, "content": content}
    if hasattr(message, "tool_call_chunks"):
        update["tool_call_chunks"] = []
    return message.model_copy(update=update)
