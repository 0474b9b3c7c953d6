"""The LangChain agent behind the assistant: model, tools and the middleware around them, in the order in which
they act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from typing import Any, cast

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Interrupt

from fmops.agent import NAME, PROMPT
from fmops.authorization import AuthorizationMiddleware, human_approval
from fmops.conversation.budget_middleware import BudgetMiddleware
from fmops.conversation.calls import CallsMiddleware
from fmops.conversation.checkpoints import INTERRUPT
from fmops.conversation.layers import Layers
from fmops.conversation.limits import ModelCallLimit
from fmops.conversation.prompting import PromptMiddleware
from fmops.guardrails import GuardedChatModel, GuardrailEngine, GuardrailMiddleware
from fmops.guardrails.flow import listener
from fmops.prompts import PromptSource, packaged
from fmops.toolkit.context import RequestContext

_MODEL = "model"
"""Name that ``create_agent`` gives to the step of the model."""


class _GuardrailsOfCalls(GuardrailMiddleware):
    """The middleware without its step before the agent runs, which would vet again what ``Conversation`` has
    vetted as input, before the first model call vets it too."""

    before_agent = AgentMiddleware.before_agent
    abefore_agent = AgentMiddleware.abefore_agent


def packaged_prompts() -> PromptSource:
    """Return a source that always serves the packaged prompt."""
    return PromptSource(packaged(NAME, PROMPT))


def build_agent(
    *,
    model: BaseChatModel,
    tools: list[BaseTool],
    guardrails: GuardrailEngine,
    authorization: AuthorizationMiddleware,
    recording: AgentMiddleware[Any, Any],
    prompts: PromptSource | None = None,
    waiting: Collection[str] = (),
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[Any, RequestContext, Any, Any]:
    """Return an agent whose every tool call is recorded, guarded and authorized, from the outside in.

    Authorization comes last, so that it decides on the arguments that run, and again after a human has approved
    the call of a tool in ``waiting``, which requires a ``checkpointer``. Without ``prompts``, the packaged
    prompt serves.
    """
    return create_agent(
        GuardedChatModel(model=model, engine=guardrails),
        tools,
        middleware=[
            Layers(
                recording,
                ModelCallLimit(),
                PromptMiddleware(prompts or packaged_prompts()),
                _GuardrailsOfCalls(guardrails),
                *([human_approval(waiting)] if waiting else []),
                authorization,
                BudgetMiddleware(),
                CallsMiddleware(),
            )
        ],
        context_schema=RequestContext,
        checkpointer=checkpointer,
        name=NAME.replace("-", "_"),
    )


async def speak(updates: AsyncIterator[Any], pieces: asyncio.Queue[Any], interrupts: list[Interrupt]) -> None:
    """Put the agent's vetted text into ``pieces``, which must be taken before the model goes on.

    ``updates`` are those of the agent's state, step by step. Waiting calls are added to ``interrupts``.
    """
    streamed = False

    async def heard(text: str) -> None:
        nonlocal streamed
        streamed = True
        pieces.put_nowait(text)
        await pieces.join()

    listener.set(heard)
    async with aclosing(cast(AsyncGenerator[Any, None], updates)):
        async for update in updates:
            interrupts += update.get(INTERRUPT, ())
            if _MODEL not in update:
                continue
            if not streamed and (text := _said(update[_MODEL])):
                await heard(text)
            streamed = False


def _said(update: Any) -> str:
    """Return the text of the model's message in its step's update, which may begin with the history it repaired."""
    written = update[0] if isinstance(update, list) else update
    messages = (written or {}).get("messages", ())
    return next((each.text for each in reversed(messages) if isinstance(each, AIMessage)), "")
