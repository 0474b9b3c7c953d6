"""LangChain middleware: no tool runs before Verified Permissions has allowed this call, with these arguments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    HumanInTheLoopMiddleware,
    InterruptOnConfig,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langgraph.types import Command

from fmops.authorization.authorizer import AuthorizationRequest, Authorizer, Decision, count
from fmops.authorization.entities import Entity, EntityUid

DENIED = "This is not permitted, or there is no such thing."
"""All that a model, and through it a user, learns of a denial: not even whether the resource exists."""

UNRESOLVED = "_OTHER"
"""The action, in metrics, of a call that could not be resolved: its tool's name may be made up by the model."""


@dataclass(frozen=True)
class ApprovedCall:
    """What a human approves: one call of a tool that waited for them. Nothing else runs on their behalf."""

    approval_id: str
    tool_call_id: str
    requested_by: str
    """Subject of the person whose call it is."""
    waiting: frozenset[str]
    """Ids of all calls of that turn that wait; the others go on waiting."""


class AuthorizationContext(Protocol):
    """What the agent's ``context_schema`` must offer: who asks, and where decisions are recorded."""

    identity_token: str
    decisions: dict[str, Decision]
    approval: ApprovedCall | None

    def record_decision(self, decision: Decision) -> None: ...


Resolver = Callable[[str, Mapping[str, Any], Any], AuthorizationRequest]
"""From a tool's name, its arguments and the agent's context to the request that decides the call.

It loads the resource from the system of record; for a resource that is not there it answers a request that no
policy permits. Raises ``ValueError`` for arguments that cannot be authorized.
"""

Principals = Callable[[Any], Collection[str]]
"""From the agent's context to the ids, in the policy store, of the user and their groups."""


class AuthorizationMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Decides all tool calls of a model's answer in one batch, and each again at its call if it was not among them.

    Args:
        authorizer: decides.
        resolver: makes the requests.
        principals: with it, the model is not offered the tools that no policy could permit to this user
            (``PolicyCatalog.may_allow``). A call of such a tool is decided, and denied, all the same.
        approvals: for each tool that may wait for a human, the action that decides whether a call that its caller is not
            permitted does wait. Its denial has the reason ``needs_approval``; ``human_approval`` makes it wait.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        resolver: Resolver,
        *,
        principals: Principals | None = None,
        approvals: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._authorizer = authorizer
        self._resolver = resolver
        self._principals = principals
        self._approvals = approvals or {}

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        if self._principals and self._authorizer.catalog.stale:
            await asyncio.to_thread(self._authorizer.catalog.refresh)
        response = await handler(self._offering(request))
        if calls := _tool_calls(response):
            await asyncio.to_thread(self._decide, calls, request.runtime.context)
        return response

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        if self._principals:
            self._authorizer.catalog.refresh()
        response = handler(self._offering(request))
        if calls := _tool_calls(response):
            self._decide(calls, request.runtime.context)
        return response

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        context = cast(AuthorizationContext, request.runtime.context)
        is_decided = call_key(request.tool_call) in context.decisions
        denial = self._denial(request) if is_decided else await asyncio.to_thread(self._denial, request)
        return denial or await handler(request)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        return self._denial(request) or handler(request)

    def _offering(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with the tools that this user could be permitted."""
        if self._principals is None or not self._authorizer.enforce:
            return request
        names = [_name(tool) for tool in request.tools]
        holder = self._principals(request.runtime.context)
        offered = [
            tool
            for tool, name in zip(request.tools, names, strict=True)
            if self._authorizer.catalog.may_allow({name, self._approvals.get(name, name)}, holder)
        ]
        return request.override(tools=offered)

    def _denial(self, request: ToolCallRequest) -> ToolMessage | None:
        call, context = request.tool_call, cast(AuthorizationContext, request.runtime.context)
        if call_key(call) not in context.decisions:
            self._decide([call], context)
        decision = context.decisions.pop(call_key(call))
        if decision.allowed:
            return None
        return ToolMessage(DENIED, tool_call_id=str(call["id"]), name=call["name"], status="error")

    def _decide(self, calls: Sequence[ToolCall], context: AuthorizationContext) -> None:
        requests: dict[str, AuthorizationRequest] = {}
        for call in calls:
            unresolved = AuthorizationRequest(
                EntityUid("Action", call["name"]), Entity(EntityUid("Unresolved", ""))
            )
            if context.approval is not None and call["id"] != context.approval.tool_call_id:
                # Who approves one call lends nobody their rights for another.
                self._keep(call_key(call), Decision(unresolved, "DENY", "not_permitted"), context)
                continue
            try:
                requests[call_key(call)] = self._resolver(call["name"], call["args"], context)
            except ValueError:
                denial = Decision(unresolved, "DENY", "invalid_arguments", enforced=self._authorizer.enforce)
                # The name is the model's word, and no label of a metric.
                count(denial, action="unresolved")
                self._keep(call_key(call), denial, context)
        decisions = self._authorizer.decide(context.identity_token, list(requests.values()))
        waiting = self._waiting(decisions, context)
        for key, decision in zip(requests, decisions, strict=True):
            self._keep(key, waiting.get(id(decision), decision), context)

    def _waiting(self, decisions: Sequence[Decision], context: AuthorizationContext) -> dict[int, Decision]:
        """The denied calls that may wait for a human, in one more batch; an approver's own denial is final."""
        denied = [
            decision
            for decision in decisions
            if decision.reason == "not_permitted"
            and decision.request.action.id in self._approvals
            and context.approval is None
        ]
        requests = [
            replace(
                decision.request,
                action=replace(decision.request.action, id=self._approvals[decision.request.action.id]),
            )
            for decision in denied
        ]
        answers = self._authorizer.decide(context.identity_token, requests)
        return {
            id(decision): replace(
                decision, reason="needs_approval", determining_policies=answer.determining_policies
            )
            for decision, answer in zip(denied, answers, strict=True)
            if answer.outcome == "ALLOW"
        }

    @staticmethod
    def _keep(key: str, decision: Decision, context: AuthorizationContext) -> None:
        context.decisions[key] = decision
        context.record_decision(decision)


class ApprovalPerCall(HumanInTheLoopMiddleware[Any, Any, Any]):
    """LangChain's, without the step after each model call, which does nothing when calls interrupt one by one."""

    after_model = AgentMiddleware.after_model
    aafter_model = AgentMiddleware.aafter_model


def human_approval(tools: Collection[str]) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    """LangChain's human-in-the-loop for the calls whose denial has the reason ``needs_approval``.

    It goes before ``AuthorizationMiddleware``, so that the call is authorized again after the approval, as the approver.
    The agent needs a checkpointer.
    """
    review: InterruptOnConfig = {"allowed_decisions": ["approve", "reject"], "when": _waits}
    return ApprovalPerCall(dict.fromkeys(tools, review), interrupt_mode="per_call")


def _waits(request: ToolCallRequest) -> bool:
    context = cast(AuthorizationContext, request.runtime.context)
    if context.approval is not None:
        return request.tool_call["id"] in context.approval.waiting
    decision = context.decisions.get(call_key(request.tool_call))
    return decision is not None and decision.reason == "needs_approval" and not decision.allowed


def call_key(call: ToolCall) -> str:
    """A decision holds for one call with exactly these arguments: a call that was edited since is decided again."""
    return json.dumps([call["id"], call["name"], call["args"]], sort_keys=True, default=str)


def _tool_calls(response: ModelResponse[Any]) -> list[ToolCall]:
    return [
        call for message in response.result if isinstance(message, AIMessage) for call in message.tool_calls
    ]


def _name(tool: Any) -> str:
    return str(tool.get("name", "") if isinstance(tool, dict) else tool.name)
