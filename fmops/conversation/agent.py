"""The LangChain agent behind the assistant: model, tools and the middleware around them, in the order in which
they act."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from fmops.agent import NAME, PROMPT
from fmops.authorization import AuthorizationMiddleware, human_approval
from fmops.conversation.budget_middleware import BudgetMiddleware
from fmops.conversation.calls import CallsMiddleware
from fmops.conversation.layers import Layers
from fmops.conversation.limits import ModelCallLimit
from fmops.conversation.prompting import PromptMiddleware
from fmops.guardrails import GuardedChatModel, GuardrailEngine, GuardrailMiddleware
from fmops.prompts import PromptSource, packaged
from fmops.toolkit.context import RequestContext


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
