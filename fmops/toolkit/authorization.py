"""The Cedar request that decides a call, as far as it is the same for every agent: who asks, in what session,
and on what."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmops.authorization import AuthorizationRequest, Authorizer, Entity, EntityUid
from fmops.authorization.entities import Value
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import PUBLIC, KnowledgeDocument
from fmops.toolkit.record_table import RecordTable

Facts = Mapping[str, Value]


@dataclass(frozen=True)
class InWords:
    """A call in people's words: a title such as "Grant tom access for 14 days", and facts by name."""

    title: str
    facts: Mapping[str, str]


class ToolResolver(ABC):
    """Return the ``AuthorizationRequest`` of a tool call. An agent derives its own class, which describes its
    tools.

    ``prefix`` is what Verified Permissions puts before the ids of users and groups: a Cognito pool's id, or the
    prefix that another issuer's identity source was given.
    """

    namespace: str
    """Namespace of the agent's Cedar schema, which the ids of all its entities carry."""

    counted: Mapping[str, str] = {}
    """Tools whose calls within a turn count together, each with the fact that is added up.

    Policies read the sum of the earlier calls, if there were any, as ``context.input.earlier``.
    """

    def __init__(self, records: RecordTable, prefix: str) -> None:
        self._people = records
        self._prefix = prefix

    @abstractmethod
    def on(self, tool: str, arguments: Mapping[str, Any], context: RequestContext) -> tuple[Entity, Facts]:
        """Return a call's resource, and the facts of its arguments that policies read as ``context.input``
        (none when empty).

        Raises ``ValueError`` for arguments that no policy can read, and for a tool that no policy decides.
        """

    @abstractmethod
    def resource(self, kind: str, resource_id: str) -> Entity:
        """Return one of the agent's own resources, with the facts from the system of record. A missing one has
        no facts.

        Raises ``ValueError`` for a kind that the agent does not have.
        """

    def in_words(
        self, tool: str, arguments: Mapping[str, Any], request: AuthorizationRequest | None
    ) -> InWords:
        """Return a call that waits for approval, with the facts on which it was decided, in people's words.

        An agent overrides it to write its amounts and names as people do. References to other entities are
        left out: they hold the subjects of tokens.
        """
        return InWords(spaced(tool), {**_plain(arguments), **self.facts(request)})

    def facts(self, request: AuthorizationRequest | None) -> dict[str, str]:
        """Return the facts of a decided request, in words: its resource's attributes, and the session's."""
        if request is None:
            return {}
        session = request.context.get("session")
        mfa = isinstance(session, Mapping) and session.get("mfa") is True
        return {**_plain(request.resource.attributes), "Asked with a second factor": _worded(mfa)}

    def __call__(
        self, tool: str, arguments: Mapping[str, Any], context: RequestContext
    ) -> AuthorizationRequest:
        resource, inputs = self.on(tool, arguments, context)
        amount = inputs.get(self.counted.get(tool, ""), 0)
        if not isinstance(amount, int) or amount <= 0:
            return self._request(tool, resource, context, inputs)
        earlier = context.drawn.get(tool, 0)
        inputs = {**inputs, "earlier": earlier} if earlier else inputs
        return replace(self._request(tool, resource, context, inputs), amount=amount)

    def review(self, action: str, context: RequestContext) -> AuthorizationRequest:
        """Return the request for an action on the review page."""
        return self._request(action, Entity(self.uid("ReviewQueue", "review")), context)

    def prompts(self, context: RequestContext) -> AuthorizationRequest:
        """Return the request for an action in the playground."""
        return self._request("edit_prompts", Entity(self.uid("PromptRegistry", "prompts")), context)

    def editing(self, context: RequestContext) -> AuthorizationRequest:
        """Return the request to draft, edit and publish documents."""
        return self._request("edit_documents", Entity(self.uid("KnowledgeBase", "documents")), context)

    def operations(self, context: RequestContext) -> AuthorizationRequest:
        """Return the request for what operators do from the home page."""
        return self._request("operate", Entity(self.uid("Operations", "operations")), context)

    def traces(self, context: RequestContext) -> AuthorizationRequest:
        """Return the request to read the traces of other people's requests."""
        return self._request("read_traces", Entity(self.uid("TraceStore", "traces")), context)

    def principals(self, context: RequestContext) -> set[str]:
        """Return the ids, in the policy store, of the caller and their groups."""
        names = {context.principal.subject, *context.principal.groups}
        return {f"{self._prefix}|{name}" for name in names}

    def readable(self, authorizer: Authorizer) -> Readable:
        """Return what says which documents the caller may read."""
        return Readable(self, authorizer)

    def audiences(self, context: RequestContext) -> list[str]:  # noqa: ARG002 - an agent's override reads it
        """Return the audiences whose documents are searched for the caller, by their verified token.

        An agent overrides it so that it holds at least what its policies permit: a document of another audience
        is never found. It permits nothing, since the policies decide each document.
        """
        return [PUBLIC]

    def reading(
        self, documents: Sequence[KnowledgeDocument], context: RequestContext
    ) -> list[AuthorizationRequest]:
        """Return the requests to read the documents, in order."""
        session, action = {"session": self._session(context)}, self.uid("Action", "read_document")
        return [AuthorizationRequest(action, each, session) for each in self.documents(documents)]

    def user(self, subject: str) -> EntityUid:
        """Return a person's entity id, from the subject of their tokens."""
        return self.uid("User", f"{self._prefix}|{subject}")

    def uid(self, kind: str, entity_id: str) -> EntityUid:
        """Return an entity's id in the namespace of the agent's schema."""
        return EntityUid(f"{self.namespace}::{kind}", entity_id)

    def documents(self, documents: Sequence[KnowledgeDocument]) -> list[Entity]:
        """Return the Cedar entities of documents, in order.

        Classification and region are those of the index, which are as old as its last ingestion; whether a
        document is withdrawn is read from the system of record.
        """
        withdrawn = self._people.withdrawn([each.id for each in documents]) if documents else set()
        return [self._document(each, withdrawn=each.id in withdrawn) for each in documents]

    def _document(self, document: KnowledgeDocument, *, withdrawn: bool) -> Entity:
        attributes: dict[str, Value] = {"classification": document.classification, "withdrawn": withdrawn}
        if document.region:
            attributes["region"] = document.region
        return Entity(self.uid("Document", document.id), attributes)

    def _request(
        self, action: str, resource: Entity, context: RequestContext, inputs: Facts | None = None
    ) -> AuthorizationRequest:
        facts: dict[str, Value] = {"session": self._session(context)}
        if inputs:
            facts["input"] = inputs
        return AuthorizationRequest(self.uid("Action", action), resource, facts)

    def _session(self, context: RequestContext) -> dict[str, Value]:
        return {
            "mfa": context.principal.mfa,
            "suspended": self._people.is_suspended(context.principal.subject),
            "channel": context.channel,
            "signInAge": max(0, int(time.time()) - context.principal.signed_in_at),
        }


class Readable:
    """Say which documents a caller may read: narrowed by audience for the search, then decided by the policies."""

    def __init__(self, resolver: ToolResolver, authorizer: Authorizer) -> None:
        self._resolver = resolver
        self._authorizer = authorizer

    def audiences(self, context: RequestContext) -> list[str]:
        """Return the audiences whose documents are searched for the caller."""
        return self._resolver.audiences(context)

    def __call__(self, documents: Sequence[KnowledgeDocument], context: RequestContext) -> list[bool]:
        """Return for each document whether the caller may read it, decided in as few calls as possible.

        A withdrawn one is withheld in ``LOG_ONLY`` too: that tries out policies, and a withdrawal is none.
        """
        requests = self._resolver.reading(documents, context)
        decisions = self._authorizer.decide(context.identity_token, requests)
        for decision in decisions:
            context.record_decision(decision)
        return [
            decision.allowed and decision.request.resource.attributes["withdrawn"] is False
            for decision in decisions
        ]


def text(arguments: Mapping[str, Any], name: str) -> str:
    """Return an argument that must be a text. Raises ``ValueError``, which names it."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: give a non-empty text")
    return value


def integer(arguments: Mapping[str, Any], name: str, example: str) -> int:
    """Return an argument that must be a whole number, as Cedar's are. Raises ``ValueError``, which names it and
    ``example``."""
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(f"{name}: give a whole number, such as {example}")
    return value


def spaced(name: str) -> str:
    """Return the name of a tool, argument or attribute as words: ``open amount`` of ``openAmount``, capitalized."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_+", " ", name).strip().capitalize()


def _plain(facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        spaced(name): _worded(value) for name, value in facts.items() if isinstance(value, bool | int | str)
    }


def _worded(value: bool | int | str) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
