"""The resource of each tool call, for Cedar: resources come from the system of record, never from text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmops.agent import NAMESPACE
from fmops.agent.records import Records
from fmops.agent.tools import DATA_SOURCE
from fmops.authorization import Entity
from fmops.authorization.entities import Value
from fmops.toolkit.authorization import Facts, ToolResolver, integer, text
from fmops.toolkit.context import RequestContext

APPROVALS = {"grant_access": "request_access_approval"}
"""Tools whose calls may wait for a human, and the action that decides whether one does."""


class Resolver(ToolResolver):
    """Resolver of the service desk's resources."""

    namespace = NAMESPACE

    def __init__(self, records: Records, prefix: str) -> None:
        super().__init__(records, prefix)
        self._records = records

    def on(self, tool: str, arguments: Mapping[str, Any], context: RequestContext) -> tuple[Entity, Facts]:
        match tool:
            case "search_guides":
                return self.resource("KnowledgeBase", DATA_SOURCE), {}
            case "get_ticket" | "comment_ticket":
                return self.resource("Ticket", text(arguments, "ticket_id")), {}
            case "grant_access":
                facts: dict[str, Value] = {"days": integer(arguments, "days", "14")}
                if context.approval is not None:
                    facts["requestedBy"] = self.user(context.approval.requested_by)
                return self.resource("System", text(arguments, "system_id")), facts
            case _:
                raise ValueError(
                    f"no policy decides the tool {tool!r}: add an action to the schema and a case here"
                )

    def resource(self, kind: str, resource_id: str) -> Entity:
        match kind:
            case "KnowledgeBase":
                return Entity(self.uid(kind, resource_id))
            case "Ticket":
                return Entity(self.uid(kind, resource_id), self._ticket(resource_id))
            case "System":
                # A system that is not there has no team, and nobody is in that one.
                system = self._records.system(resource_id) or {}
                facts = {"team": system.get("team", ""), "sensitive": system.get("sensitive", True)}
                return Entity(self.uid(kind, resource_id), facts)
            case _:
                raise ValueError(f"there is no resource of the kind {kind!r}: add a case here")

    def audiences(self, context: RequestContext) -> list[str]:
        staff = ["staff"] if "staff" in context.principal.groups else []
        return super().audiences(context) + staff

    def _ticket(self, ticket_id: str) -> Facts:
        ticket = self._records.ticket(ticket_id) or {}
        attributes: dict[str, Value] = {"team": ticket.get("team", ""), "status": ticket.get("status", "")}
        if requester := ticket.get("requester"):
            attributes["requester"] = self.user(requester)
        return attributes
