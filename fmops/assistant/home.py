"""The home page's cards: what a person may use, and how it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from fmops.agent import NAME
from fmops.assistant.approvals import Approvals
from fmops.assistant.draft_desk import DraftDesk
from fmops.assistant.elsewhere import Elsewhere
from fmops.assistant.readings import Reader, Readings
from fmops.assistant.review_desk import REVIEW, ReviewDesk
from fmops.assistant.route_errors import HomeNotPermittedError
from fmops.authorization import Authorizer
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.threads import Threads
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext

READERS = 8
"""Maximum readings at once."""


class Registry(Protocol):
    """The part of ``fmops.evaluation.registry.PromptRegistry`` that the home page needs."""

    def standing(self, name: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Permitted:
    """Actions besides chatting that the policies permit a person."""

    review: bool
    edit_prompts: bool
    edit_documents: bool
    operate: bool
    read_traces: bool
    approvals: bool


@dataclass(frozen=True)
class Card:
    """One card. ``key`` names the reading, which people share unless it holds their id."""

    name: str
    reader: Reader | None = None
    key: str = ""
    link: str = ""
    facts: dict[str, str] = field(default_factory=dict)


class Home:
    """Show each person the cards that the policies permit them. Its authorizer always enforces, even in
    ``LOG_ONLY``."""

    def __init__(
        self,
        *,
        approvals: Approvals,
        review: ReviewDesk | None,
        registry: Callable[[], Registry] | None,
        elsewhere: Elsewhere,
        authorizer: Authorizer,
        resolver: ToolResolver,
        drafting: DraftDesk | None = None,
        readings: Readings | None = None,
    ) -> None:
        self._approvals, self._review, self._elsewhere = approvals, review, elsewhere
        self._make_registry, self._drafting = registry, drafting
        self._authorizer, self._resolver = authorizer, resolver
        self._readings = readings or Readings(Threads(READERS, "home"))

    async def shown(self, principal: Principal) -> list[dict[str, Any]]:
        """Return the person's cards with their states, which are read at once."""
        may = await asyncio.to_thread(self.permitted, principal)
        return list(await asyncio.gather(*(self._drawn(card) for card in self._cards(may, principal))))

    def permitted(self, principal: Principal) -> Permitted:
        """Return what the policies let this person do."""
        context = RequestContext(principal, Interaction())
        requests = [
            self._resolver.review(REVIEW, context),
            self._resolver.prompts(context),
            self._resolver.editing(context),
            self._resolver.operations(context),
            self._resolver.traces(context),
        ]
        decisions = self._authorizer.decide(principal.token, requests)
        review, edit_prompts, edit_documents, operate, traces = (each.allowed for each in decisions)
        concern = self._approvals.concern(principal)
        return Permitted(review, edit_prompts, edit_documents, operate, traces, concern)

    def mlflow_address(self, principal: Principal) -> str:
        """Return an address of MLflow for somebody who operates. Raises ``HomeNotPermittedError``."""
        if not self.permitted(principal).operate or not self._elsewhere.mlflow:
            raise HomeNotPermittedError
        return self._elsewhere.mlflow_address()

    def report_address(self, principal: Principal) -> str:
        """Return an address of the last report, which quotes people. Raises ``HomeNotPermittedError``."""
        self._admit_to_report(principal)
        return self._elsewhere.report_address()

    def plot(self, principal: Principal) -> bytes | None:
        """Return the last report's plot as SVG. Raises ``HomeNotPermittedError``."""
        self._admit_to_report(principal)
        return self._elsewhere.plot()

    def _admit_to_report(self, principal: Principal) -> None:
        may = self.permitted(principal)
        if not (may.review or may.operate):
            raise HomeNotPermittedError

    def _cards(self, may: Permitted, principal: Principal) -> list[Card]:
        """Return the permitted cards in the page's order."""
        there, places = self._elsewhere, self._elsewhere.places
        sees_records = may.review or may.operate
        prompt = "prompt" if self._make_registry else ""
        cards = [
            (True, Card("chat")),
            (may.approvals, Card("approvals", self._waiting(principal), f"approvals {principal.subject}")),
            (
                may.review and self._review is not None,
                Card("review", self._tasks(principal), f"review {principal.subject}"),
            ),
            (may.edit_documents and self._drafting is not None, Card("gaps", self._gaps, "gaps")),
            (may.edit_prompts and bool(prompt), Card("playground", self._prompt, prompt)),
            (may.operate and bool(there.mlflow), Card("mlflow", self._prompt, prompt)),
            (
                may.operate and bool(places.prometheus),
                Card(
                    "dashboards",
                    there.alerts,
                    "alerts",
                    there.console("grafana", "/workspaces") if places.grafana else "",
                ),
            ),
            (sees_records and bool(places.lake), Card("report", there.drift, "drift")),
            (
                may.read_traces or may.operate,
                Card("traces", link=there.console("cloudwatch", "xray:traces/query") if may.operate else ""),
            ),
            (
                sees_records and bool(places.table),
                Card("records", link=there.console("athena", "/query-editor"), facts={"table": places.table}),
            ),
        ]
        return [card for permitted, card in cards if permitted]

    async def _drawn(self, card: Card) -> dict[str, Any]:
        state = await self._readings.read(card.key, card.reader) if card.reader else None
        return {"name": card.name, "state": state, "link": card.link, **card.facts}

    def _waiting(self, principal: Principal) -> Reader:
        return lambda: {"waiting": self._approvals.waiting_for(principal)}

    def _tasks(self, principal: Principal) -> Reader:
        def read() -> dict[str, Any]:
            assert self._review is not None  # noqa: S101 - there is no card without a desk
            progress: dict[str, Any] = self._review.queue(self._review.admit(principal))["progress"]
            return progress

        return read

    def _gaps(self) -> dict[str, Any]:
        assert self._drafting is not None  # noqa: S101 - there is no card without a desk
        return self._drafting.standing()

    def _prompt(self) -> dict[str, Any]:
        return self._registry.standing(NAME)

    @cached_property
    def _registry(self) -> Registry:
        assert self._make_registry is not None  # noqa: S101 - there is no card without a registry
        return self._make_registry()
