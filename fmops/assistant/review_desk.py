"""The review desk: a reviewer's tasks, with the documents that they may read, and their labels."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmops.assistant.route_errors import BlockedTextError, ReviewNotPermittedError
from fmops.authorization import Authorizer
from fmops.guardrails import Direction, GuardrailEngine
from fmops.identity.tokens import Principal, Pseudonyms
from fmops.interaction import Interaction, RetrievedDocument
from fmops.parallel import in_order
from fmops.review.backend import NoSuchTaskError, ReviewQueue
from fmops.review.labels import Reviewed, State, agreement
from fmops.review.model import Label
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeDocument, KnowledgeStore, KnowledgeUnavailableError
from fmops.toolkit.retrieval import joined, permitted

REVIEW, ADJUDICATE = "review_interactions", "adjudicate_reviews"
NOT_READABLE = "You may not read this document."
GONE = "The knowledge base no longer has this document."
UNAVAILABLE = "The documents cannot be read at the moment: open the task again in a few minutes."


@dataclass(frozen=True)
class Reviewer:
    """A person who may review, and whether they may settle disagreements."""

    pseudonym: str
    adjudicates: bool
    context: RequestContext


class ReviewDesk:
    """Show reviewers what was captured, after redaction, but neither why it was chosen nor how others labelled
    it.

    No one reviews their own interactions. Its authorizer always enforces, even in ``LOG_ONLY``.
    """

    def __init__(
        self,
        queue: ReviewQueue,
        *,
        authorizer: Authorizer,
        resolver: ToolResolver,
        documents: KnowledgeStore,
        guardrails: GuardrailEngine,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._queue = queue
        self._authorizer = authorizer
        self._resolver = resolver
        self._readable = resolver.readable(authorizer)
        self._documents = documents
        self._guardrails = guardrails
        self._pseudonyms = pseudonyms

    def admit(self, principal: Principal) -> Reviewer:
        """Return the principal as a reviewer. Raises ``ReviewNotPermittedError``."""
        context = RequestContext(principal, Interaction())
        requests = [self._resolver.review(action, context) for action in (REVIEW, ADJUDICATE)]
        review, adjudicate = self._authorizer.decide(principal.token, requests)
        if not review.allowed:
            raise ReviewNotPermittedError
        return Reviewer(self._pseudonyms.user(principal.subject), adjudicate.allowed, context)

    def queue(self, reviewer: Reviewer) -> dict[str, Any]:
        """Return this person's open tasks, in an order of their own, and everyone's progress."""
        reviewed = self._queue.reviewed()
        left = [each for each in reviewed if _is_for(reviewer, each)]
        left.sort(key=lambda each: (each.state is State.OPEN, -len(each.votes), _order(reviewer, each)))
        states = [each.state for each in reviewed]
        alpha = agreement(reviewed)
        return {
            "tasks": [
                {"task_id": each.task.task_id, "adjudicates": _settles(reviewer, each)} for each in left
            ],
            "progress": {
                "mine": sum(
                    any(vote.reviewer == reviewer.pseudonym for vote in each.labels) for each in reviewed
                ),
                "left": len(left),
                **{state.value: states.count(state) for state in State},
                "agreement": None if alpha is None else round(alpha, 3),
            },
        }

    def task(self, task_id: str, reviewer: Reviewer) -> dict[str, Any]:
        """Return everything about a task that its reviewer needs. Raises ``NoSuchTaskError`` for tasks that are
        not theirs."""
        reviewed = self._mine(task_id, reviewer)
        task, adjudicates = reviewed.task, _settles(reviewer, reviewed)
        shown = {
            "task_id": task.task_id,
            "trace_id": task.trace_id,
            "question": task.question,
            "answer": task.answer,
            "retrieved": self._retrieved(reviewed, reviewer.context),
            "guardrails": [
                outcome.model_dump(include={"direction", "action", "detector", "reason"})
                for outcome in task.guardrails
                if outcome.action != "allow"
            ],
            "tools": [call.model_dump(include={"name", "status"}) for call in task.tool_calls],
            "model_id": task.model_id,
            "prompt_version": task.prompt_version,
            "started_at": task.started_at,
            "adjudicates": adjudicates,
        }
        if adjudicates:
            shown["labels"] = [
                label.model_dump(include={"verdict", "category", "corrected_answer", "comment"})
                for label in reviewed.votes
            ]
        return shown

    async def label(self, task_id: str, said: Mapping[str, Any], reviewer: Reviewer) -> Reviewed:
        """Record a reviewer's label, redacted like everything that is stored.

        Raises ``NoSuchTaskError`` and ``BlockedTextError``.
        """
        reviewed = await asyncio.to_thread(self._mine, task_id, reviewer)
        label = Label(
            task_id=task_id,
            reviewer=reviewer.pseudonym,
            adjudicates=_settles(reviewer, reviewed),
            **said,
        )
        texts = {
            "corrected_answer": await self._vetted(label.corrected_answer, Direction.OUTPUT),
            "comment": await self._vetted(label.comment, Direction.INPUT),
        }
        return await asyncio.to_thread(self._queue.label, label.model_copy(update=texts))

    def _mine(self, task_id: str, reviewer: Reviewer) -> Reviewed:
        reviewed = self._queue.task(task_id)
        if reviewed.task.user == reviewer.pseudonym:
            raise NoSuchTaskError(task_id)
        return reviewed

    def _retrieved(self, reviewed: Reviewed, context: RequestContext) -> list[dict[str, Any]]:
        """Return the documents that the answer was given, or their pages, with a reason in place of the text that
        the reviewer cannot read."""
        given = reviewed.task.retrieved
        found = list(in_order(self._passages, given))
        readable = permitted([each for known in found for each in known or ()], self._readable, context)
        return [
            _shown(each, known, [passage for passage in known or () if passage in readable])
            for each, known in zip(given, found, strict=True)
        ]

    def _passages(self, retrieved: RetrievedDocument) -> list[KnowledgeDocument] | None:
        """Return the passages of a retrieved document, whatever its audience, or None while they cannot be read."""
        try:
            return self._documents.document(retrieved.document_id, None, retrieved.page)
        except KnowledgeUnavailableError:
            return None

    async def _vetted(self, text: str, direction: Direction) -> str:
        if not text:
            return text
        outcome = await self._guardrails.check(text, direction)
        if outcome.blocked:
            raise BlockedTextError
        return outcome.text


def _shown(
    retrieved: RetrievedDocument,
    known: Sequence[KnowledgeDocument] | None,
    readable: Sequence[KnowledgeDocument],
) -> dict[str, Any]:
    reason = UNAVAILABLE if known is None else NOT_READABLE if known else GONE
    return {
        "document_id": retrieved.document_id,
        "title": readable[0].title if readable else retrieved.document_id,
        "text": joined(readable) or reason,
        "page": retrieved.page,
        "score": round(retrieved.score, 3),
    }


def _is_for(reviewer: Reviewer, each: Reviewed) -> bool:
    if each.task.user == reviewer.pseudonym or each.state is State.SETTLED:
        return False
    said = any(label.reviewer == reviewer.pseudonym for label in each.labels)
    return not said and (each.state is State.OPEN or reviewer.adjudicates)


def _settles(reviewer: Reviewer, each: Reviewed) -> bool:
    """Return whether this reviewer may settle the task: an adjudicator who is not one of those who disagree."""
    said = any(vote.reviewer == reviewer.pseudonym for vote in each.votes)
    return reviewer.adjudicates and each.state is State.DISAGREED and not said


def _order(reviewer: Reviewer, each: Reviewed) -> str:
    """Return a sort key that is random and different for each reviewer, so that the last tasks are not the same
    for all."""
    return hashlib.sha256(f"{reviewer.pseudonym}{each.task.task_id}".encode()).hexdigest()
