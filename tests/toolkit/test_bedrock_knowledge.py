"""The knowledge base returns passages of the caller's audiences with their pages, and says when it is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from fmops import deadline
from fmops.agent import KNOWLEDGE
from fmops.toolkit.bedrock_knowledge import BedrockKnowledgeBase, choose
from fmops.toolkit.knowledge import KnowledgeUnavailableError, PackagedDocuments
from tests.toolkit.runtime import Runtime, chunk

NORTH: dict[str, Any] = {"audience": "staff-north", "region": "north", "classification": "internal"}
STAFF = ["public", "staff", "staff-north"]


def base(*chunks: dict[str, Any], **options: Any) -> tuple[BedrockKnowledgeBase, Runtime]:
    runtime = Runtime(list(chunks), **options)
    return BedrockKnowledgeBase(runtime, "KB12345678"), runtime


def test_a_passage_has_its_document_page_and_similarity() -> None:
    store, _ = base(
        chunk(
            "guides/hail",
            "Glass",
            page=3,
            score=0.4,
            audience="staff-north",
            region="north",
            classification="internal",
        ),
        chunk("theft", "Locks", score=0.9),
    )
    (best, first), (second, then) = store.search("hail", STAFF)
    assert (best.id, best.page, first, then) == ("theft", None, 0.9, 0.4)
    assert (second.id, second.title, second.text) == ("guides/hail", "Guides/Hail", "Glass")
    assert (second.page, second.passage) == (3, "chunk of guides/hail Glass")
    assert (second.classification, second.region, second.audience) == ("internal", "north", "staff-north")


def test_the_search_is_narrowed_to_the_audiences_and_never_to_more_than_a_decision_takes() -> None:
    store, runtime = base(*(chunk(f"d{number}") for number in range(40)))
    assert len(store.search("x", ["public"], limit=99)) == 30
    store.search("x", STAFF)
    one, several = (
        each["retrievalConfiguration"]["vectorSearchConfiguration"]["filter"] for each in runtime.asked
    )
    assert one == {"equals": {"key": "audience", "value": "public"}}
    assert several == {"in": {"key": "audience", "value": STAFF}}


@pytest.mark.parametrize("ignores_filters", [False, True])
def test_what_is_for_others_or_without_a_sidecar_is_not_found(ignores_filters: bool) -> None:
    store, _ = base(
        chunk("public"),
        chunk("secret", audience="staff", classification="internal"),
        chunk("bare", audience=None),
        ignores_filters=ignores_filters,
    )
    assert [each.id for each, _ in store.search("x", ["public"])] == ["public"]
    assert store.document("secret", ["public"]) == []
    assert store.document("bare", None) == []


def test_a_document_is_its_passages_by_page_and_one_page_is_asked_for_alone() -> None:
    store, _ = base(
        chunk("a", "Two", page=2, score=0.9), chunk("a", "One", page=1), chunk("b", "Other", page=1)
    )
    assert [(each.page, each.text) for each in store.document("a", ["public"])] == [(1, "One"), (2, "Two")]
    assert [each.text for each in store.document("a", ["public"], page=2)] == ["Two"]
    assert store.document("a", ["public"], page=3) == []


def test_images_are_passed_over_and_a_missing_score_is_none_at_all() -> None:
    image = {**chunk("scan"), "content": {"type": "IMAGE", "byteContent": "data:image/png;base64,"}}
    store, _ = base(image, chunk("text", score=None))
    assert [(each.id, score) for each, score in store.search("x", None)] == [("text", 0.0)]


@pytest.mark.parametrize(
    "fault", ["ThrottlingException", "ResourceNotFoundException", "AccessDeniedException"]
)
def test_a_base_that_refuses_is_unavailable(fault: str) -> None:
    store, _ = base(fault=fault)
    with pytest.raises(KnowledgeUnavailableError, match=fault):
        store.search("x", ["public"])


def test_a_base_that_cannot_be_reached_is_unavailable() -> None:
    client = boto3.client(
        "bedrock-agent-runtime",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=1),
    )
    with pytest.raises(KnowledgeUnavailableError) as unavailable:
        BedrockKnowledgeBase(client, "KB12345678").document("a", None)
    assert isinstance(unavailable.value.__cause__, EndpointConnectionError)


def test_an_answer_that_cannot_be_read_is_unavailable() -> None:
    class Broken:
        def retrieve(self, **_: Any) -> dict[str, Any]:
            return {"retrievalResults": [{"metadata": {}}]}

    with pytest.raises(KnowledgeUnavailableError, match="KeyError"):
        BedrockKnowledgeBase(Broken(), "KB12345678").search("x", None)


def test_without_an_id_the_documents_of_the_image_are_used(tmp_path: Path) -> None:
    def none() -> Any:
        raise AssertionError("no client is needed")

    assert isinstance(choose(none, "", KNOWLEDGE, None), PackagedDocuments)
    chosen = choose(Runtime, "KB12345678", tmp_path, None, minimum_similarity=0.3)
    assert isinstance(chosen, BedrockKnowledgeBase)
    assert chosen.minimum_similarity == 0.3


def test_no_search_begins_after_the_turns_time() -> None:
    client = boto3.client(
        "bedrock-agent-runtime",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    store = BedrockKnowledgeBase(deadline.inheriting(client), "KB12345678")
    deadline.begin(0)
    try:
        with pytest.raises(deadline.OutOfTimeError):
            store.search("x", ["public"])
    finally:
        deadline.begin(None)
