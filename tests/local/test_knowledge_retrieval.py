"""Retrieve: which chunks a query finds, in which order, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock_agent.retrieval import score
from tests.local.knowledge import UNCHECKED, Shelf, hold, refusal

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "knowledge_bases.yaml").read_text())


@pytest.fixture(scope="module")
def library(enforcing: Cloud) -> Shelf:
    """A knowledge base with the documents of the golden filters."""
    shelf = Shelf(enforcing, "library")
    shelf.grant()
    shelf.open()
    for key, attributes in GOLDEN["documents"].items():
        shelf.put(key, f"Hail of {key}", sidecar=attributes)
    shelf.ingest()
    return shelf


@pytest.mark.parametrize("case", GOLDEN["filters"], ids=lambda case: json.dumps(case["filter"]))
def test_filters_accept_what_is_documented(library: Shelf, case: dict[str, Any]) -> None:
    document = json.loads(json.dumps(case["filter"]).replace("{bare.txt}", library.uri("bare.txt")))
    client = library.cloud.client("bedrock-agent-runtime", config=UNCHECKED)
    ask = {
        "knowledgeBaseId": library.base_id,
        "retrievalQuery": {"text": "hail"},
        "retrievalConfiguration": {"vectorSearchConfiguration": {"filter": document}},
    }
    if case.get("refused"):
        assert refusal(client.retrieve, **ask)["Code"] == "ValidationException"
        return
    found = client.retrieve(**ask)["retrievalResults"]
    names = {each["location"]["s3Location"]["uri"].rpartition("/")[2] for each in found}
    assert names == set(case["accepts"])


@pytest.mark.parametrize("case", GOLDEN["queries"], ids=lambda case: str(case["params"])[:90])
def test_queries_are_answered_as_documented(library: Shelf, case: dict[str, Any]) -> None:
    params = {"knowledgeBaseId": library.base_id, **case["params"]}
    query = params["retrievalQuery"]
    if isinstance(query.get("text"), dict):
        params["retrievalQuery"] = {"text": query["text"]["repeat"] * query["text"]["times"]}
    hold(case, library.cloud.client("bedrock-agent-runtime", config=UNCHECKED).retrieve, **params)


def test_a_result_has_the_chunk_its_place_and_its_metadata(library: Shelf) -> None:
    best, *_ = library.retrieve("Hail of staff.txt")
    (stored,) = (each for each in library.stored() if each["AMAZON_BEDROCK_TEXT"] == "Hail of staff.txt")
    assert best["content"] == {"type": "TEXT", "text": "Hail of staff.txt"}
    assert best["location"] == {"type": "S3", "s3Location": {"uri": library.uri("staff.txt")}}
    assert best["score"] == pytest.approx(1.0, abs=1e-5)
    assert best["metadata"] == {
        "audience": "staff",
        "year": 2024,
        "draft": True,
        "x-amz-bedrock-kb-source-uri": library.uri("staff.txt"),
        "x-amz-bedrock-kb-data-source-id": library.source_id,
        "x-amz-bedrock-kb-chunk-id": stored["key"],
    }


def test_results_come_nearest_first_and_in_pages(library: Shelf) -> None:
    client = library.cloud.client("bedrock-agent-runtime")
    ask = {
        "knowledgeBaseId": library.base_id,
        "retrievalQuery": {"text": "Hail of public.txt"},
        "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 2}},
    }
    first = client.retrieve(**ask)
    second = client.retrieve(**ask, nextToken=first["nextToken"])
    found = [*first["retrievalResults"], *second["retrievalResults"]]
    assert len(found) == 3 and "nextToken" not in second
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    assert len({each["metadata"]["x-amz-bedrock-kb-chunk-id"] for each in found}) == 3


def test_five_results_are_the_default(shelf: Shelf) -> None:
    for number in range(7):
        shelf.put(f"{number}.txt", f"Hail number {number}")
    shelf.ingest()
    assert len(shelf.retrieve("hail")) == 5
    assert len(shelf.retrieve("hail", numberOfResults=7)) == 7


def test_scores_are_similarities() -> None:
    assert [score(each, "cosine") for each in (0.0, 0.25, 2.0)] == [1.0, 0.75, -1.0]
    assert [score(each, "euclidean") for each in (0.0, 1.0)] == [1.0, 0.5]
