"""The tools of the service desk. Each call is authorized before it gets here; no tool decides who may do
what.
"""

from __future__ import annotations

import json
from typing import Any

from langchain.tools import ToolRuntime, tool
from langchain_core.tools import BaseTool

from fmops.agent.records import NoSuchSystem, Records
from fmops.guardrails import GuardrailEngine
from fmops.toolkit.authorization import Readable
from fmops.toolkit.knowledge import KnowledgeStore
from fmops.toolkit.record_table import run_of
from fmops.toolkit.retrieval import search

Runtime = ToolRuntime[Any, Any]
"""A runtime whose context is a ``RequestContext``; if it were named here, LangChain would add it to the
tool's argument schema."""

DATA_SOURCE = "service-guides"


def build_tools(
    records: Records, knowledge: KnowledgeStore, readable: Readable, guardrails: GuardrailEngine
) -> list[BaseTool]:
    """Return the tools for records and a knowledge base."""

    @tool
    def search_guides(query: str, runtime: Runtime) -> str:
        """Search the service desk's guides. Use it for every question about how something works, rules or deadlines,
        and answer only from what it returns.

        Args:
            query: What to look for, in the user's words.
        """
        return _json(search(query, runtime.context, knowledge, readable, guardrails, data_source=DATA_SOURCE))

    @tool
    def get_ticket(ticket_id: str) -> str:
        """Read a ticket: its status, the team that has it, and its comments.

        Args:
            ticket_id: The ticket's id, such as T-1001.
        """
        ticket = records.ticket(ticket_id)
        if ticket is None:
            return f"There is no ticket {ticket_id}."
        visible = ("id", "status", "team", "title", "comments")
        return _json({name: ticket[name] for name in visible if name in ticket})

    @tool
    def comment_ticket(ticket_id: str, text: str, runtime: Runtime) -> str:
        """Add a comment to a ticket.

        Args:
            ticket_id: The ticket's id, such as T-1001.
            text: The comment.
        """
        records.comment(ticket_id, runtime.context.principal.username, text)
        return f"The comment was added to {ticket_id}."

    @tool
    def grant_access(system_id: str, person: str, days: int, runtime: Runtime) -> str:
        """Give somebody access to a system for a number of days.

        Args:
            system_id: The system's id, such as SYS-10.
            person: Who gets access.
            days: For how many days.
        """
        try:
            records.grant(system_id, person, days, runtime.context.principal.username, run_of(runtime))
        except NoSuchSystem:
            return f"There is no system {system_id}."
        return _json({"system_id": system_id, "person": person, "days": days})

    return [search_guides, get_ticket, comment_ticket, grant_access]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
