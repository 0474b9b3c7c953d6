"""The documents of the image are found by the same rules as those of a knowledge base."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from fmops.agent import KNOWLEDGE
from fmops.documents import DocumentsError
from fmops.toolkit.knowledge import PackagedDocuments, load
from tests.documents.pdf import pdf


def store() -> PackagedDocuments:
    return PackagedDocuments(load(KNOWLEDGE), DeterministicFakeEmbedding(size=8))


def test_only_documents_of_the_audiences_are_found() -> None:
    found = {each.audience for each, _ in store().search("theft", ["public", "staff-north"], limit=50)}
    assert found == {"public", "staff-north"}
    everything = store().search("theft", None, limit=50)
    assert len(everything) == len(load(KNOWLEDGE))
    assert [score for _, score in everything] == sorted((score for _, score in everything), reverse=True)


def test_a_document_is_its_one_passage_for_its_audience() -> None:
    (found,) = store().document("north-storm-desk", ["staff-north"])
    assert (found.region, found.page) == ("north", None)
    assert store().document("north-storm-desk", ["public"]) == []
    assert store().document("gone", None) == []
    assert store().document("north-storm-desk", None, page=1) == []


def test_documents_that_need_a_parser_cannot_be_packaged(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("Text"))
    (tmp_path / "a.pdf.yaml").write_text("title: A\nclassification: public\n")
    with pytest.raises(DocumentsError, match="publish it instead"):
        load(tmp_path)
