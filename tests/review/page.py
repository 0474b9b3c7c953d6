"""The review page's service on MLflow's real store and the project's policies, for people whose token
is their name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
from fastapi import FastAPI

from fmops.agent import KNOWLEDGE
from fmops.agent.resources import Resolver
from fmops.assistant.me_routes import add_me_routes
from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.review_routes import add_review_routes
from fmops.assistant.service import _add_error_handlers
from fmops.authorization import AuthorizationRequest, Authorizer, Decision
from fmops.guardrails import GuardrailEngine
from fmops.guardrails.detectors.base import Clients
from fmops.identity.tokens import AuthenticationError, Principal, Pseudonyms
from fmops.review.backend import ReviewQueue
from fmops.toolkit.knowledge import KnowledgeStore, PackagedDocuments, load
from tests.assistant.test_service import Words
from tests.policies.desk import (
    Case,
    Person,
    document,
    engine,
    knowledge_base,
    operations,
    prompt_registry,
    review_queue,
    trace_store,
)

PEOPLE = {
    "rita": Person(("staff", "reviewers")),
    "ravi": Person(("staff", "reviewers"), region="south"),
    "sofia": Person(("staff", "supervisors", "reviewers")),
    "otto": Person(("staff", "auditors"), region="south"),
    "petra": Person(("staff", "prompt-engineers")),
    "olga": Person(("staff", "operators")),
    "carla": Person(("customers",)),
    "ben": Person(("customers",), region="south"),
    "amir": Person(("staff", "handlers", "adjusters"), department="claims"),
    "sam": Person(("staff", "reviewers"), suspended=True),
}
PSEUDONYMS = Pseudonyms("a key of sixteen characters")


class Verifier:
    """A verifier that takes a person's name for their token."""

    def verify(self, authorization: str | None) -> Principal:
        name = (authorization or "").removeprefix("Bearer ").rpartition(".")[2]
        if name not in PEOPLE:
            raise AuthenticationError("No token: sign in.")
        return Principal(name, name, frozenset(PEOPLE[name].groups), True, name, {})


class Rules(Authorizer):
    """An authorizer that decides by the project's policies on the Cedar engine."""

    def __init__(self) -> None:
        super().__init__(None, "ps")
        self._engine = engine()

    def decide(self, identity_token: str, requests: Sequence[AuthorizationRequest]) -> list[Decision]:
        return [self._decide(PEOPLE[identity_token], request) for request in requests]

    def _decide(self, person: Person, request: AuthorizationRequest) -> Decision:
        attributes: Any = request.resource.attributes
        match request.resource.uid.type.rpartition("::")[2]:
            case "Document":
                resource = document(request.resource.uid.id, **attributes)
            case "PromptRegistry":
                resource = prompt_registry()
            case "KnowledgeBase":
                resource = knowledge_base()
            case "Operations":
                resource = operations()
            case "TraceStore":
                resource = trace_store()
            case _:
                resource = review_queue()
        (answer,) = self._engine.decide(Case(person, request.action.id, resource))
        return Decision(request, "ALLOW" if answer.allowed else "DENY", "decided")


class Desk:
    """A desk that suspends the people marked in PEOPLE."""

    def is_suspended(self, subject: str) -> bool:
        return PEOPLE[subject].suspended

    def withdrawn(self, document_ids: Sequence[str]) -> set[str]:
        return set()


def make_app(queue: ReviewQueue, documents: KnowledgeStore | None = None) -> FastAPI:
    app = FastAPI()
    app.state.verifier = Verifier()
    _add_error_handlers(app)
    desk = ReviewDesk(
        queue,
        authorizer=Rules(),
        resolver=Resolver(Desk(), "pool"),  # type: ignore[arg-type]
        documents=documents or PackagedDocuments(load(KNOWLEDGE), None),
        guardrails=GuardrailEngine([Words("words", Clients(boto3.Session(), timeout=1, connections=1))]),
        pseudonyms=PSEUDONYMS,
    )
    add_review_routes(app, desk)
    add_me_routes(app, review=desk)
    add_page_routes(app, Pages())
    return app
