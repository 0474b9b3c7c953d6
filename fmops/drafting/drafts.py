"""Drafts in the data lake: ``knowledge/drafts/<id>.json``, each with who drafted, edited and published it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fmops.drafting.objects import ChangedError, Objects
from fmops.parallel import in_order

PREFIX = "knowledge/drafts/"
ID = re.compile(r"[0-9a-f]{16}-[1-9][0-9]{0,3}")
JSON = "application/json"
LONGEST_TEXT, LONGEST_TITLE = 20_000, 200
"""Maximum characters of a draft's text and title."""

Classification = Literal["public", "internal"]
State = Literal["draft", "publishing", "published", "discarded"]
"""A draft is ``publishing`` while its document is written; publishing it again completes what was interrupted."""


class NoSuchDraftError(LookupError):
    """There is no draft with this id."""


class DraftExistsError(Exception):
    """The gap has a draft, or a document was published for it."""


class DraftChangedError(Exception):
    """Somebody else has changed the draft, or it is no longer one."""


class Source(BaseModel):
    """A document that the model was given for the draft, and who may read it."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    classification: str
    region: str = ""


class Draft(BaseModel):
    """A draft of a document. People are named by their pseudonyms, times are in UTC (ISO 8601)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: Literal[1] = 1
    id: str
    gap_id: str
    window: str
    state: State = "draft"
    title: str = Field(max_length=LONGEST_TITLE)
    text: str = Field(max_length=LONGEST_TEXT)
    classification: Classification = "internal"
    region: str = ""
    questions: list[str]
    interaction_ids: list[str]
    """Interaction of each question, by which the draft is deleted when their person is to be forgotten."""
    sources: list[Source] = []
    corrections: int = 0
    """Number of reviewers' corrected answers that the model was given."""
    model_id: str = ""
    """Model that wrote the draft; empty if there was nothing to write it from."""
    made_at: str
    made_by: str
    edited_at: str = ""
    edited_by: str = ""
    published_at: str = ""
    published_by: str = ""
    discarded_at: str = ""
    discarded_by: str = ""
    document_id: str = ""
    """Id of the published document."""
    cases: int = 0
    """Number of evaluation cases that its questions became."""


class Drafts:
    """All drafts of a deployment. A write says which version it replaces, so that no editor overwrites another."""

    def __init__(self, lake: Objects) -> None:
        self._lake = lake

    def all(self) -> list[Draft]:
        """Return all drafts, the newest first."""
        stored = in_order(self._lake.read, self._lake.keys(PREFIX))
        drafts = [Draft.model_validate_json(each.data) for each in stored if each is not None]
        return sorted(drafts, key=lambda each: each.made_at, reverse=True)

    def read(self, draft_id: str) -> tuple[Draft, str]:
        """Return a draft and its version. Raises ``NoSuchDraftError``."""
        stored = self._lake.read(_key(draft_id)) if ID.fullmatch(draft_id) else None
        if stored is None:
            raise NoSuchDraftError(draft_id)
        return Draft.model_validate_json(stored.data), stored.etag

    def create(self, draft: Draft) -> str:
        """Store a new draft and return its version. Raises ``DraftExistsError``."""
        try:
            return self._lake.replace(_key(draft.id), _json(draft), JSON, None)
        except ChangedError as error:
            raise DraftExistsError from error

    def replace(self, draft: Draft, version: str) -> str:
        """Store a draft in place of a version of it, and return the new version. Raises ``DraftChangedError``."""
        try:
            return self._lake.replace(_key(draft.id), _json(draft), JSON, version)
        except ChangedError as error:
            raise DraftChangedError from error


def next_id(gap_id: str, drafts: Sequence[Draft]) -> str:
    """Return the id of a gap's next draft. Raises ``DraftExistsError`` unless all that it had were discarded."""
    earlier = [each for each in drafts if each.gap_id == gap_id]
    if any(each.state != "discarded" for each in earlier):
        raise DraftExistsError
    return f"{gap_id}-{len(earlier) + 1}"


def _key(draft_id: str) -> str:
    return f"{PREFIX}{draft_id}.json"


def _json(draft: Draft) -> bytes:
    return draft.model_dump_json(indent=1).encode()
