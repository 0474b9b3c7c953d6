"""LangChain middleware: no tool runs before Verified Permissions has allowed this call, with these arguments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from fmops.authorization.authorizer import AuthorizationRequest, Authorizer, Decision
from fmops.authorization.entities import Entity, EntityUid

DENIED = "This is not permitted, or there is no such thing."
"""All that a model, and through it a user, learns of a denial: not even whether the resource exists."""


class AuthorizationContext(Protocol):
    """What the agent's ``context_schema`` must offer: who asks, and where decisions are recorded."""

    identity_token: str
    decisions: dict[str, Decision]

    def record_decision(self, decision: Decision) -> None: ...


Resolver = Callable[[str, Mapping[str, Any], Any], AuthorizationRequest]
"""From a tool's name, its arguments and the agent's context to the request that decides the call.

It loads the resource from the system of record; for a resource that is not there it answers a request that no
policy permits. Raises ``ValueError`` for arguments that cannot be authorized.
"""


class AuthorizationMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Decides all tool calls of a model's answer in one batch, and each again at its call if it was not among them."""

    def __init__(self, authorizer: Authorizer, resolver: Resolver) -> None:
        super().__init__()
        self._authorizer = authorizer
        self._resolver = resolver

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        await asyncio.to_thread(self.after_model, state, runtime)

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        last = state["messages"][-1]
        if isinstance(last, AIMessage) and last.tool_calls:
            self._decide(last.tool_calls, runtime.context)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        denial = await asyncio.to_thread(self._denial, request)
        return denial or await handler(request)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        return self._denial(request) or handler(request)

    def _denial(self, request: ToolCallRequest) -> ToolMessage | None:
        call, context = request.tool_call, cast(AuthorizationContext, request.runtime.context)
        if _key(call) not in context.decisions:
            self._decide([call], context)
        decision = context.decisions.pop(_key(call))
        if decision.allowed:
            return None
        return ToolMessage(DENIED, tool_call_id=str(call["id"]), name=call["name"], status="error")

    def _decide(self, calls: Sequence[ToolCall], context: AuthorizationContext) -> None:
        requests: dict[str, AuthorizationRequest] = {}
        for call in calls:
            try:
                requests[_key(call)] = self._resolver(call["name"], call["args"], context)
            except ValueError:
                unresolved = AuthorizationRequest(
                    EntityUid("Action", call["name"]), Entity(EntityUid("Unresolved", ""))
                )
                context.decisions[_key(call)] = Decision(unresolved, "DENY", "invalid_arguments")
                context.record_decision(context.decisions[_key(call)])
        for key, decision in zip(
            requests, self._authorizer.decide(context.identity_token, list(requests.values())), strict=True
        ):
            context.decisions[key] = decision
            context.record_decision(decision)


def _key(call: ToolCall) -> str:
    """A decision holds for one call with exactly these arguments: a call that was edited since is decided again."""
    return json.dumps([call["id"], call["name"], call["args"]], sort_keys=True, default=str)
