"""LangChain middleware: no tool runs before Verified Permissions has allowed this call, with these arguments."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from langgraph.types import Command, Interrupt

from fmops.authorization.authorizer import AuthorizationRequest, Authorizer, Decision, count
from fmops.authorization.entities import Entity, EntityUid

DENIED = "This is not permitted, or there is no such thing."
"""Everything that a model, and through it a user, learns about a denial: not even whether the resource
exists.
"""

UNRESOLVED = "_OTHER"
"""Action recorded for a call of an unknown tool, whose name the model made up."""


@dataclass(frozen=True)
class ApprovedCall:
    """A call that a human approved: one run of one tool with these arguments. Nothing else runs with their
    rights.

    Runs are identified by LangGraph's interrupt ids, which the server makes. A tool call's id comes from the
    model, which may use one twice.
    """

    approval_id: str
    interrupt_id: str
    requested_by: str
    """Subject of the person who requested the call."""
    waiting: frozenset[str]
    """Interrupt ids of all waiting calls of that turn; the others continue to wait."""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def is_for(self, request: ToolCallRequest) -> bool:
        """Return whether this run of a tool is the approved one."""
        call = request.tool_call
        return interrupt_id(request) == self.interrupt_id and (call["name"], call["args"]) == (
            self.tool,
            dict(self.arguments),
        )


class AuthorizationContext(Protocol):
    """The attributes that the agent's ``context_schema`` must offer: who asks, and where decisions are
    recorded.
    """

    identity_token: str
    decisions: dict[str, Decision]
    approval: ApprovedCall | None
    counting: threading.Lock
    """Lock held while calls that draw on a shared limit are decided; used only if a resolver says that some
    do.
    """

    def record_decision(self, decision: Decision) -> None: ...


Resolver = Callable[[str, Mapping[str, Any], Any], AuthorizationRequest]
"""A function from a tool's name, its arguments and the agent's context to the request that decides the call.

It loads the resource from the system of record; for a missing resource, it returns a request that no policy
permits. Raises ``ValueError`` for arguments that cannot be authorized.
"""

Principals = Callable[[Any], Collection[str]]
"""A function from the agent's context to the ids, in the policy store, of the user and their groups."""


class AuthorizationMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Decide all tool calls of a model's answer in one batch, and decide a call when it runs if the batch did
    not include it.

    Args:
        authorizer: makes the decisions.
        resolver: makes the requests.
        principals: if given, the model is not offered the tools that no policy could permit to this user
            (``PolicyCatalog.may_allow``). A call of such a tool is still decided, and denied.
        approvals: for each tool whose calls may wait for a human, the action that decides whether a call that
            its caller may not make waits. The denial of a waiting call has the reason ``needs_approval``;
            ``human_approval`` makes it wait.
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
            await asyncio.to_thread(self._decide_all, calls, request)
        return response

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        if self._principals:
            self._authorizer.catalog.refresh()
        response = handler(self._offering(request))
        if calls := _tool_calls(response):
            self._decide_all(calls, request)
        return response

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        context = cast(AuthorizationContext, request.runtime.context)
        decision = context.decisions.pop(call_key(request.tool_call), None)
        if decision is None:
            decision = await asyncio.to_thread(self._decide_one, request)
        return _denial(request, decision) or await handler(request)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        context = cast(AuthorizationContext, request.runtime.context)
        decision = context.decisions.pop(call_key(request.tool_call), None)
        return _denial(request, decision or self._decide_one(request)) or handler(request)

    def _offering(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the request with only the tools that this user could be permitted."""
        if self._principals is None or not self._authorizer.enforce:
            return request
        names = [_name(tool) for tool in request.tools]
        holder = self._principals(request.runtime.context)
        offered = [
            tool
            for tool, name in zip(request.tools, names, strict=True)
            if self._authorizer.catalog.may_allow({name, self._approvals.get(name, name)}, holder)
        ]
        return request if len(offered) == len(names) else request.override(tools=offered)

    def _decide_all(self, calls: Sequence[ToolCall], request: ModelRequest[Any]) -> None:
        """Decide the calls of a model's answer before they run. A call that occurs twice is decided again as it
        runs."""
        context = cast(AuthorizationContext, request.runtime.context)
        known = {_name(tool) for tool in request.tools}
        once = {call_key(call): call for call in calls}
        lends_nothing = context.approval is not None
        decisions = self._decide(list(once.values()), known, context, lends_nothing=lends_nothing)
        context.decisions |= dict(zip(once, decisions, strict=True))

    def _decide_one(self, request: ToolCallRequest) -> Decision:
        """Decide a call that runs now and was not decided before with these arguments."""
        context, call = cast(AuthorizationContext, request.runtime.context), request.tool_call
        lends_nothing = context.approval is not None and not context.approval.is_for(request)
        known = {call["name"]} if request.tool else set()
        return self._decide([call], known, context, lends_nothing=lends_nothing)[0]

    def _decide(
        self,
        calls: Sequence[ToolCall],
        known: set[str],
        context: AuthorizationContext,
        *,
        lends_nothing: bool,
    ) -> list[Decision]:
        """Decide calls in order, and record the decisions.

        ``known`` holds the names of the agent's tools. With ``lends_nothing``, all calls are denied: approving
        one call gives no rights for another.
        """
        decisions: dict[int, Decision] = {}
        requests: dict[int, AuthorizationRequest] = {}
        for index, call in enumerate(calls):
            unresolved = _unresolved(call["name"] if call["name"] in known else UNRESOLVED)
            if lends_nothing:
                decisions[index] = Decision(unresolved, "DENY", "not_permitted")
                continue
            try:
                requests[index] = self._resolver(call["name"], call["args"], context)
            except ValueError:
                denial = Decision(unresolved, "DENY", "invalid_arguments", enforced=self._authorizer.enforce)
                # The model chose the name, so it must not become a metric label.
                count(denial, action="unresolved")
                decisions[index] = denial
        counted = [index for index, request in requests.items() if request.amount]
        together = {index: request for index, request in requests.items() if index not in counted}
        decisions |= self._answers(together, context)
        for index in sorted(decisions):
            context.record_decision(decisions[index])
        if counted:
            with context.counting:
                # Decided one after another, each counting what the calls before it were allowed.
                for index in counted:
                    request = self._resolver(calls[index]["name"], calls[index]["args"], context)
                    decisions |= self._answers({index: request}, context)
                    context.record_decision(decisions[index])
        return [decisions[index] for index in range(len(calls))]

    def _answers(
        self, requests: Mapping[int, AuthorizationRequest], context: AuthorizationContext
    ) -> dict[int, Decision]:
        """Return the decisions of one batch by the indexes of their calls."""
        decided = self._authorizer.decide(context.identity_token, list(requests.values()))
        waiting = self._waiting(decided, context)
        final = [waiting.get(id(decision), decision) for decision in decided]
        return dict(zip(requests, final, strict=True))

    def _waiting(self, decisions: Sequence[Decision], context: AuthorizationContext) -> dict[int, Decision]:
        """Return the denied calls that may wait for a human, decided in one more batch; an approver's own
        denial is final."""
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


class ApprovalPerCall(HumanInTheLoopMiddleware[Any, Any, Any]):
    """LangChain's middleware without its step after each model call, which does nothing when calls interrupt
    one by one."""

    after_model = AgentMiddleware.after_model
    aafter_model = AgentMiddleware.aafter_model


def human_approval(tools: Collection[str]) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    """Return LangChain's human-in-the-loop middleware for calls whose denial has the reason ``needs_approval``.

    Place it before ``AuthorizationMiddleware``, so that the call is authorized again after the approval, as the
    approver. The agent needs a checkpointer.
    """
    review: InterruptOnConfig = {"allowed_decisions": ["approve", "reject"], "when": _waits}
    return ApprovalPerCall(dict.fromkeys(tools, review), interrupt_mode="per_call")


def _waits(request: ToolCallRequest) -> bool:
    context = cast(AuthorizationContext, request.runtime.context)
    if context.approval is not None:
        return interrupt_id(request) in context.approval.waiting
    decision = context.decisions.get(call_key(request.tool_call))
    return decision is not None and decision.reason == "needs_approval" and not decision.allowed


def interrupt_id(request: ToolCallRequest) -> str:
    """Return the id of the interrupt that this run of a tool makes, the same before and after an approval."""
    return Interrupt.from_ns(None, str(request.runtime.config["configurable"]["checkpoint_ns"])).id


def _denial(request: ToolCallRequest, decision: Decision) -> ToolMessage | None:
    call = request.tool_call
    if decision.allowed:
        return None
    return ToolMessage(DENIED, tool_call_id=str(call["id"]), name=call["name"], status="error")


def _unresolved(action: str) -> AuthorizationRequest:
    return AuthorizationRequest(EntityUid("Action", action), Entity(EntityUid("Unresolved", "")))


def call_key(call: ToolCall) -> str:
    """Return the key of a decision, which holds for exactly these arguments: an edited call is decided
    again.
    """
    return json.dumps([call["id"], call["name"], call["args"]], sort_keys=True, default=str)


def _tool_calls(response: ModelResponse[Any]) -> list[ToolCall]:
    return [
        call for message in response.result if isinstance(message, AIMessage) for call in message.tool_calls
    ]


def _name(tool: Any) -> str:
    return str(tool.get("name", "") if isinstance(tool, dict) else tool.name)
