"""Tool calls that wait for a human, stored in DynamoDB beside the checkpoints of their turns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from botocore.exceptions import ClientError
from langgraph.types import Interrupt
from pydantic import BaseModel

from fmops.authorization import AuthorizationRequest
from fmops.authorization.middleware import call_key
from fmops.conversation.checkpoints import WaitingRuns
from fmops.interaction import timestamp
from fmops.toolkit.authorization import InWords
from fmops.toolkit.context import RequestContext

PARTITION = "APPROVAL"
KEEP_SECONDS = 3 * 24 * 3600
"""Seconds that a call waits; then it and its checkpoint expire."""
LEASE_SECONDS = 120
"""Seconds after which an approval whose run ended without a result, as in a crash, may be run again."""

Status = Literal["waiting", "running", "approved", "rejected"]
Describe = Callable[[str, Mapping[str, Any], AuthorizationRequest | None], InWords]
"""A function that puts a call and the request on which it was decided into words: ``ToolResolver.in_words``."""


class WaitingCall(BaseModel):
    """A tool call that waits, or waited, for approval."""

    approval_id: str
    thread_id: str
    interrupt_id: str
    tool_call_id: str
    tool: str
    arguments: dict[str, Any]
    requested_by: str
    """Subject of the person who requested the call."""
    requested_by_name: str
    requested_at: str
    title: str = ""
    facts: dict[str, str] = {}
    """Facts on which it was decided that the call waits, in words."""
    policies: list[str] = []
    """Names of the policies that decided that the call waits."""
    status: Status = "waiting"
    decided_by: str = ""
    decided_by_name: str = ""
    decided_at: str = ""
    answer: str = ""

    @property
    def expires_at(self) -> str:
        """Return when the call and its turn are deleted."""
        ends = datetime.fromisoformat(self.requested_at) + timedelta(seconds=KEEP_SECONDS)
        return ends.isoformat(timespec="seconds").replace("+00:00", "Z")

    def shown(self) -> dict[str, Any]:
        """Return the fields that the HTTP API shows: no subject, no key of the checkpoint."""
        kept = {"tool", "arguments", "title", "facts", "requested_at", "status", "decided_at", "answer"}
        names = {"requested_by": self.requested_by_name, "decided_by": self.decided_by_name}
        shown = {"id": self.approval_id, **self.model_dump(include=kept), **names}
        return {**shown, "expires_at": self.expires_at}


class ApprovalTable:
    """Waiting calls, in the table that also holds their checkpoints."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def put(self, call: WaitingCall) -> None:
        item = {
            **_key(call.approval_id),
            "call": {"S": call.model_dump_json()},
            "status": {"S": call.status},
            "ttl": {"N": str(int(time.time()) + KEEP_SECONDS)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def get(self, approval_id: str) -> WaitingCall | None:
        """Return a call that has not expired."""
        answer = self._client.get_item(TableName=self._table, Key=_key(approval_id), ConsistentRead=True)
        item = answer.get("Item")
        return _call(item) if item and not _expired(item) else None

    def all(self) -> list[WaitingCall]:
        """Return the calls of the last days, oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="PK = :partition",
            ExpressionAttributeValues={":partition": {"S": PARTITION}},
            ConsistentRead=True,
        )
        calls = [_call(item) for page in pages for item in page["Items"] if not _expired(item)]
        return sorted(calls, key=lambda call: call.requested_at)

    def undecided(self) -> list[WaitingCall]:
        """Return the calls that wait, oldest first."""
        return [call for call in self.all() if call.status == "waiting"]

    def claim(self, call: WaitingCall) -> bool:
        """Claim the call in order to decide it; return False if someone else has."""
        now = int(time.time())
        return self._change(
            call.model_copy(update={"status": "running"}),
            "#status = :waiting OR (#status = :running AND claimed_at < :lapsed)",
            {
                ":waiting": {"S": "waiting"},
                ":running": {"S": "running"},
                ":lapsed": {"N": str(now - LEASE_SECONDS)},
            },
            now,
        )

    def finish(self, call: WaitingCall) -> None:
        """Store the call's outcome."""
        self._change(call, "#status = :running", {":running": {"S": "running"}}, int(time.time()))

    def _change(self, call: WaitingCall, condition: str, values: dict[str, Any], now: int) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(call.approval_id),
                UpdateExpression="SET #call = :call, #status = :status, claimed_at = :now",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#call": "call", "#status": "status"},
                ExpressionAttributeValues={
                    ":call": {"S": call.model_dump_json()},
                    ":status": {"S": call.status},
                    ":now": {"N": str(now)},
                    **values,
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


class ApprovalQueue:
    """Keep the turns whose calls wait, and record the calls."""

    def __init__(self, table: ApprovalTable, runs: WaitingRuns, describe: Describe) -> None:
        self._table = table
        self._describe = describe
        self.runs = runs

    def turn(self, thread_id: str) -> AbstractContextManager[None]:
        """Return the context of a turn that is kept if one of its calls waits."""
        return self.runs.unless_done(thread_id)

    def enter(self, interrupts: Sequence[Interrupt], context: RequestContext) -> list[str]:
        """Keep the interrupts of the caller's turn; return the approvals' ids."""
        return [self._enter(interrupt, context) for interrupt in interrupts]

    def _enter(self, interrupt: Interrupt, context: RequestContext) -> str:
        call_id, tool, arguments = (interrupt.value[name] for name in ("tool_call_id", "name", "args"))
        decision = context.decisions.get(call_key({"id": call_id, "name": tool, "args": arguments}))
        told = self._describe(tool, arguments, decision.request if decision else None)
        call = WaitingCall(
            approval_id=f"apr-{uuid4().hex}",
            thread_id=context.interaction.interaction_id,
            interrupt_id=interrupt.id,
            tool_call_id=call_id,
            tool=tool,
            arguments=arguments,
            requested_by=context.principal.subject,
            requested_by_name=context.principal.username,
            requested_at=timestamp(),
            title=told.title,
            facts=dict(told.facts),
            policies=list(decision.determining_policies) if decision else [],
        )
        self._table.put(call)
        context.note_approval(call.tool_call_id, call.tool, call.arguments, call.approval_id)
        return call.approval_id


def _key(approval_id: str) -> dict[str, Any]:
    return {"PK": {"S": PARTITION}, "SK": {"S": approval_id}}


def _call(item: dict[str, Any]) -> WaitingCall:
    """Return a stored call. One whose run was cut off by a crash waits again once its lease is over."""
    call = WaitingCall.model_validate(json.loads(item["call"]["S"]))
    claimed_at = int(item.get("claimed_at", {}).get("N", "0"))
    lapsed = call.status == "running" and claimed_at < time.time() - LEASE_SECONDS
    return call.model_copy(update={"status": "waiting"}) if lapsed else call


def _expired(item: dict[str, Any]) -> bool:
    """Return whether DynamoDB may delete the item, which it does days later."""
    return int(item["ttl"]["N"]) <= time.time()
