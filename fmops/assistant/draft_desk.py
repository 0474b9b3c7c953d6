"""The editors' desk: the gaps of the last report, drafts of documents that close them, and their publication."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.ai import AIMessageChunk, add_ai_message_chunks

from fmops.assistant.rates import Rate
from fmops.assistant.route_errors import (
    BlockedTextError,
    DocumentsUnavailableError,
    DraftConflictError,
    DraftingNotPermittedError,
    DraftNotFoundError,
    DraftTakenError,
    DraftUnusableError,
    GapNotFoundError,
)
from fmops.authorization import Authorizer
from fmops.conversation.spending import TurnBudgets
from fmops.drafting import gaps, publication
from fmops.drafting.drafter import Drafter, DraftRefusedError
from fmops.drafting.drafts import (
    Draft,
    DraftChangedError,
    DraftExistsError,
    Drafts,
    NoSuchDraftError,
    Source,
    next_id,
)
from fmops.drafting.gaps import Gap
from fmops.drafting.objects import ChangedError, Objects
from fmops.drafting.publication import UnpublishableError
from fmops.guardrails import Direction, GuardrailEngine
from fmops.identity.tokens import Principal, Pseudonyms
from fmops.interaction import Interaction, timestamp
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeDocument, KnowledgeStore, KnowledgeUnavailableError
from fmops.toolkit.retrieval import permitted

DRAFTS_PER_MINUTE = 6
"""Maximum drafts that one person has a model write per minute."""
PASSAGES = 4
"""Number of the nearest passages of each question that the model is given."""


@dataclass(frozen=True)
class Editor:
    """A person who may edit documents."""

    pseudonym: str
    context: RequestContext


@dataclass(frozen=True)
class Edited:
    """A draft as its editor wants it. ``version`` is the one that they have seen."""

    title: str
    text: str
    classification: str
    region: str
    version: str


class DraftDesk:
    """Let editors draft, edit and publish. Nothing is published without a person.

    Its authorizer always enforces, even in ``LOG_ONLY``.
    """

    def __init__(
        self,
        lake: Objects,
        documents: Objects,
        *,
        model: BaseChatModel,
        model_id: str,
        store: KnowledgeStore,
        guardrails: GuardrailEngine,
        authorizer: Authorizer,
        resolver: ToolResolver,
        pseudonyms: Pseudonyms,
        turn_budgets: TurnBudgets | None = None,
    ) -> None:
        self._lake, self._documents = lake, documents
        self._drafts, self._drafter = Drafts(lake), Drafter(guardrails)
        self._model, self._model_id = model, model_id
        self._store, self._guardrails = store, guardrails
        self._authorizer, self._resolver, self._pseudonyms = authorizer, resolver, pseudonyms
        self._turn_budgets = turn_budgets
        self._rate = Rate(DRAFTS_PER_MINUTE)

    def permits(self, principal: Principal) -> bool:
        """Return whether the policies let this person edit documents."""
        request = self._resolver.editing(RequestContext(principal, Interaction()))
        [decision] = self._authorizer.decide(principal.token, [request])
        return decision.allowed

    def admit(self, principal: Principal) -> Editor:
        """Return the principal as an editor. Raises ``DraftingNotPermittedError``."""
        if not self.permits(principal):
            raise DraftingNotPermittedError
        return Editor(self._pseudonyms.user(principal.subject), RequestContext(principal, Interaction()))

    def gaps(self) -> dict[str, Any]:
        """Return the gaps of the last report with their drafts, and the drafts of earlier gaps."""
        found, drafts = gaps.latest(self._lake), self._drafts.all()
        newest = {each.gap_id: each for each in reversed(drafts)}
        now = {each.id for each in found}
        return {
            "window": found[0].window if found else "",
            "gaps": [_gap(each, newest.get(each.id)) for each in found],
            "earlier": [_summary(each) for each in drafts if each.gap_id not in now],
        }

    def standing(self) -> dict[str, Any]:
        """Return how many gaps there are, how many nobody has worked on, and how many drafts are open."""
        shown = self.gaps()
        states = [each["draft"]["state"] if each["draft"] else "discarded" for each in shown["gaps"]]
        open_ = [*states, *(each["state"] for each in shown["earlier"])]
        return {
            "gaps": len(states),
            "untouched": states.count("discarded"),
            "drafts": sum(each in ("draft", "publishing") for each in open_),
        }

    async def draft(self, gap_id: str, editor: Editor) -> dict[str, Any]:
        """Have the model draft a document for a gap, charged to the editor's budgets."""
        self._rate.take(editor.context.principal.subject)
        with _told():
            gap, draft_id = await asyncio.to_thread(self._begin, gap_id)
            right = await asyncio.to_thread(publication.corrections, gap.interaction_ids, self._lake)
            near = await asyncio.to_thread(self._nearest, gap, editor.context)

            async def ask(instructions: str, text: str) -> str:
                return await self._asked(instructions, text, editor.context.principal)

            made = await self._drafter(gap, right, near, ask)
            draft = Draft(
                id=draft_id,
                gap_id=gap.id,
                window=gap.window,
                title=made.title,
                text=made.text,
                questions=gap.questions,
                interaction_ids=gap.interaction_ids,
                sources=_sources(made.passages),
                corrections=made.corrections,
                model_id=self._model_id if made.by_model else "",
                made_at=timestamp(),
                made_by=editor.pseudonym,
            )
            return _shown(draft, await asyncio.to_thread(self._drafts.create, draft))

    def see(self, draft_id: str) -> dict[str, Any]:
        """Return a draft with its version."""
        with _told():
            return _shown(*self._drafts.read(draft_id))

    async def edit(self, draft_id: str, edited: Edited, editor: Editor) -> dict[str, Any]:
        """Store what the editor wrote, redacted like everything that is stored."""
        changes = {
            "title": " ".join((await self._vetted(edited.title)).split()),
            "text": await self._vetted(edited.text),
            "classification": edited.classification,
            "region": edited.region.strip(),
            "edited_at": timestamp(),
            "edited_by": editor.pseudonym,
        }
        return await asyncio.to_thread(self._change, draft_id, edited.version, changes)

    def publish(self, draft_id: str, version: str, editor: Editor) -> dict[str, Any]:
        """Write the document and its cases. Publishing again completes what was interrupted."""
        with _told():
            draft = self._seen(draft_id, version, ("draft", "publishing"))
            ready = publication.checked(draft)
            said = {"state": "publishing", "published_by": editor.pseudonym, "published_at": timestamp()}
            ready = ready.model_copy(update=said)
            version = self._drafts.replace(ready, version)
            publication.publish(ready, self._documents)
            cases = publication.cases_of(ready, self._audiences)
            if cases:
                publication.add_cases(cases, self._lake)
            done = ready.model_copy(update={"state": "published", "cases": len(cases)})
            return _shown(done, self._drafts.replace(done, version))

    def discard(self, draft_id: str, version: str, editor: Editor) -> dict[str, Any]:
        """Give a draft up, so that another can be made for its gap."""
        said = {"state": "discarded", "discarded_at": timestamp(), "discarded_by": editor.pseudonym}
        return self._change(draft_id, version, said)

    def _begin(self, gap_id: str) -> tuple[Gap, str]:
        gap = next((each for each in gaps.latest(self._lake) if each.id == gap_id), None)
        if gap is None:
            raise GapNotFoundError
        return gap, next_id(gap_id, self._drafts.all())

    def _nearest(self, gap: Gap, context: RequestContext) -> list[KnowledgeDocument]:
        """Return the passages nearest to the questions that the editor may read, each once."""
        found: dict[tuple[str, str], KnowledgeDocument] = {}
        for question in gap.questions:
            for passage, score in self._store.search(question, self._resolver.audiences(context), PASSAGES):
                if score >= self._store.minimum_similarity:
                    found.setdefault((passage.id, passage.passage), passage)
        return permitted(list(found.values()), self._resolver.readable(self._authorizer), context)

    async def _asked(self, instructions: str, text: str, principal: Principal) -> str:
        """Return the model's answer, paid for from the person's budgets."""
        if self._turn_budgets is None:
            return str((await self._streamed(instructions, text)).text)
        spending = self._turn_budgets.open(principal)
        await spending.admit([instructions, text])
        try:
            answer = await self._streamed(instructions, text)
            spending.settle(await spending.call(0), answer.usage_metadata)
        except BaseException:
            spending.keep()
            raise
        return str(answer.text)

    async def _streamed(self, instructions: str, text: str) -> AIMessageChunk:
        """Return the whole answer of the model, which is asked in a stream like for every other answer."""
        messages = [("system", instructions), ("human", text)]
        chunks = [chunk async for chunk in self._model.astream(messages)]
        return add_ai_message_chunks(AIMessageChunk(content=""), *chunks)

    async def _vetted(self, text: str) -> str:
        outcome = await self._guardrails.check(text, Direction.OUTPUT)
        if outcome.blocked:
            raise BlockedTextError
        return outcome.text

    def _change(self, draft_id: str, version: str, changes: dict[str, Any]) -> dict[str, Any]:
        with _told():
            changed = self._seen(draft_id, version, ("draft",)).model_copy(update=changes)
            return _shown(changed, self._drafts.replace(changed, version))

    def _seen(self, draft_id: str, version: str, states: Sequence[str]) -> Draft:
        """Return a draft in one of the states that is still as its editor saw it. Raises ``DraftChangedError``."""
        draft, stored = self._drafts.read(draft_id)
        if stored != version or draft.state not in states:
            raise DraftChangedError
        return draft

    def _audiences(self, principal: Principal) -> list[str]:
        return self._resolver.audiences(RequestContext(principal, Interaction()))


@contextmanager
def _told() -> Iterator[None]:
    """Report refusals of the drafting package as answers of a route."""
    try:
        yield
    except NoSuchDraftError as error:
        raise DraftNotFoundError from error
    except DraftExistsError as error:
        raise DraftTakenError from error
    except (DraftChangedError, ChangedError) as error:
        raise DraftConflictError from error
    except (DraftRefusedError, UnpublishableError) as error:
        raise DraftUnusableError(str(error)) from error
    except KnowledgeUnavailableError as error:
        raise DocumentsUnavailableError from error


def _sources(passages: Sequence[KnowledgeDocument]) -> list[Source]:
    by_id = {each.id: each for each in passages}
    return [
        Source(id=each.id, title=each.title, classification=each.classification, region=each.region)
        for each in by_id.values()
    ]


def _gap(gap: Gap, draft: Draft | None) -> dict[str, Any]:
    shown = gap.model_dump(include={"id", "terms", "share", "similarity", "questions"})
    return {**shown, "draft": _summary(draft) if draft else None}


def _summary(draft: Draft) -> dict[str, Any]:
    named = {"id", "title", "state", "classification", "region", "made_at", "published_at", "document_id"}
    return draft.model_dump(include=named)


def _shown(draft: Draft, version: str) -> dict[str, Any]:
    left_out = {"schema_version", "interaction_ids", "made_by", "edited_by", "published_by", "discarded_by"}
    return {**draft.model_dump(exclude=left_out), "version": version}
