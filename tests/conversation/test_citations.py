"""An answer cites the documents it was made from, at the place where it mentions them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from openai.types.chat.chat_completion_message import Annotation

from fmops.conversation.citations import citations
from fmops.interaction import Interaction, RetrievedDocument


def cited(answer: str, *retrieved: RetrievedDocument, **more: Any) -> list[dict[str, Any]]:
    found = citations(Interaction(retrieved=list(retrieved), **more), answer)
    for each in found:
        Annotation.model_validate(each, strict=True)
    return [each["url_citation"] for each in found]


def document(name: str, *, score: float = 0.5, page: int | None = None, title: str = "") -> RetrievedDocument:
    return RetrievedDocument(document_id=name, score=score, page=page, title=title)


def test_a_mention_of_the_title_is_the_range_in_characters() -> None:
    answer = "Größe 🙂: see HAIL GUIDE, page 3."
    (found,) = cited(answer, document("guides/hail", title="Hail guide", page=3))
    assert answer[found["start_index"] : found["end_index"]] == "HAIL GUIDE"
    assert (found["title"], found["url"]) == ("Hail guide", "/v1/documents/guides/hail?page=3")


def test_without_the_title_the_id_counts_and_without_both_the_whole_answer() -> None:
    answer = "As motor-glass (but not motor-glassware) says, 300."
    first, second = cited(
        answer, document("motor-glass", title="Glass", score=0.9), document("theft", title="Theft")
    )
    assert answer[first["start_index"] : first["end_index"]] == "motor-glass"
    assert (second["start_index"], second["end_index"]) == (0, len(answer))


def test_a_part_of_a_word_is_no_mention() -> None:
    (found,) = cited("The complaintsdesk answers.", document("complaints", title="Complaint"))
    assert (found["start_index"], found["end_index"]) == (0, 27)


def test_each_page_is_cited_once_best_first() -> None:
    hits = [document("a", page=2, score=0.4), document("b", score=0.9), document("a", page=2, score=0.6)]
    urls = [each["url"] for each in cited("Yes.", *hits, document("a", page=7, score=0.5))]
    assert urls == ["/v1/documents/b", "/v1/documents/a?page=2", "/v1/documents/a?page=7"]


@pytest.mark.parametrize("name", ["guides/hail 2026", "Überschwemmung", "洪水?#%&", "a+b"])
def test_any_id_survives_its_address(name: str) -> None:
    (found,) = cited("Yes.", document(name, page=1))
    parts = urlsplit(found["url"])
    assert unquote(parts.path) == f"/v1/documents/{name}"
    assert parse_qs(parts.query) == {"page": ["1"]}


def test_a_withheld_answer_cites_nothing() -> None:
    assert cited("I cannot give this answer.", document("a"), finish_reason="content_filter") == []
    assert cited("", document("a")) == []
