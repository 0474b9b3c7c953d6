"""Publication of a draft: its document in the bucket that the knowledge base reads, and its questions as cases.

The sidecar is written before the document, so that the document is never indexed without its readers.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence

from fmops import written
from fmops.documents import Header, audience
from fmops.documents.publishing import DIGEST, DRAFTED
from fmops.documents.sidecar import MAXIMUM_BYTES, PREFIX, SUFFIX, sidecar
from fmops.documents.types import CONTENT_TYPES
from fmops.drafting.drafter import OPEN
from fmops.drafting.drafts import JSON, Draft
from fmops.drafting.objects import ChangedError, Objects
from fmops.evaluation.cases import GAPS_KEY, REVIEWED_KEY, Case, Expected, ReviewedCase, dump, parse
from fmops.identity.tokens import Principal
from fmops.variants.sandbox import people

NAME_CHARACTERS = 50
"""Maximum characters of a title that the document's id takes over."""
ATTEMPTS = 5
"""Maximum attempts to add cases while others add theirs."""
EXTENSION = ".md"


class UnpublishableError(ValueError):
    """The draft cannot be published as it is; the message says what to change."""


def document_id(draft: Draft) -> str:
    """Return the id of a draft's document, such as ``drafted/fires-of-batteries-3f9a21``."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", draft.title).casefold())
    name = "-".join(words) or "document"
    if len(name) > NAME_CHARACTERS:
        name = name[: NAME_CHARACTERS + 1].rpartition("-")[0] or name[:NAME_CHARACTERS]
    return f"{DRAFTED}{name}-{draft.gap_id[:6]}"


def checked(draft: Draft) -> Draft:
    """Return a draft that can be published, with the id of its document. Raises ``UnpublishableError``."""
    if not draft.title.strip() or not draft.text.strip():
        raise UnpublishableError("A document has a title and a text: write them first.")
    if any(line.strip().casefold() == OPEN.casefold() for line in draft.text.splitlines()):
        raise UnpublishableError(
            f"The text still has the heading “{OPEN.lstrip('# ')}”:"
            " answer or remove the questions, and the heading."
        )
    named = draft.model_copy(update={"document_id": document_id(draft)})
    if len(_sidecar(named)) > MAXIMUM_BYTES:
        raise UnpublishableError("The title and the region are too long together: shorten them.")
    return named


def publish(draft: Draft, documents: Objects) -> None:
    """Write the document of a checked draft. Publishing again writes the same."""
    key, body = f"{PREFIX}{draft.document_id}{EXTENSION}", draft.text.strip().encode()
    documents.put(key + SUFFIX, _sidecar(draft), JSON)
    digest = hashlib.sha256(body).hexdigest()
    documents.put(key, body, CONTENT_TYPES[EXTENSION], Metadata={DIGEST: digest})


def cases_of(draft: Draft, audiences: Callable[[Principal], Sequence[str]]) -> list[Case]:
    """Return a case for each question, which expects the document to be found by a person who may read it.

    Empty if none of the sandbox's people may read it.
    """
    readers = audience(_header(draft))
    known = [each for each in people().values() if not each.suspended]
    caller = next((each.name for each in known if readers in audiences(each.principal())), "")
    if not caller:
        return []
    expected = Expected(documents=[draft.document_id])
    return [
        Case(
            # By this id, the case is deleted when the question's person is to be forgotten.
            case_id=f"gap-{interaction_id}",
            kind="retrieval",
            caller=caller,
            question=question,
            expected=expected,
            source="reviewed",
        )
        for interaction_id, question in zip(draft.interaction_ids, draft.questions, strict=True)
    ]


def add_cases(cases: Sequence[Case], lake: Objects) -> None:
    """Add cases to those of earlier documents, in place of cases with the same ids. Raises ``ChangedError``."""
    for attempt in range(1, ATTEMPTS + 1):
        stored = lake.read(GAPS_KEY)
        known = parse(written.decode(stored.data, GAPS_KEY), Case, name=GAPS_KEY) if stored else []
        ours = {each.case_id for each in cases}
        rows = [*(each for each in known if each.case_id not in ours), *cases]
        try:
            lake.replace(
                GAPS_KEY, dump(rows).encode(), "application/x-ndjson", stored.etag if stored else None
            )
        except ChangedError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


def corrections(interaction_ids: Sequence[str], lake: Objects) -> list[str]:
    """Return the right answers that reviewers wrote for these interactions."""
    stored = lake.read(REVIEWED_KEY)
    if stored is None or not stored.data.strip():
        return []
    rows = parse(written.decode(stored.data, REVIEWED_KEY), ReviewedCase, name=REVIEWED_KEY)
    wanted = set(interaction_ids)
    return [each.corrected_answer for each in rows if each.case_id in wanted and each.corrected_answer]


def _header(draft: Draft) -> Header:
    return Header(draft.title, draft.classification, draft.region)


def _sidecar(draft: Draft) -> bytes:
    return sidecar(_header(draft), draft.document_id, draft.document_id + EXTENSION)
