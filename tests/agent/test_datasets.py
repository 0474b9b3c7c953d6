"""The shipped cases mean what they say, about people, documents and tools that exist."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fmops.agent import KNOWLEDGE
from fmops.agent.sandbox import SandboxRecords
from fmops.agent.tools import build_tools
from fmops.evaluation.datasets import golden
from fmops.evaluation.scoring import JUDGED, RULES, applicable
from fmops.toolkit import knowledge
from fmops.variants.sandbox import fixture, people, records

NONE: Any = None
CASES = golden()


def test_there_are_enough_of_each_kind_to_tell() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert len(CASES) >= 60
    assert min(kinds.values()) >= 8
    assert kinds.keys() == {"answer", "retrieval", "tool", "refusal", "attack"}


def test_they_are_about_people_documents_and_tools_that_are_there() -> None:
    documents = {document.id for document in knowledge.load(KNOWLEDGE)}
    tools = {tool.name: set(tool.args) for tool in build_tools(NONE, NONE, NONE, NONE)}
    for case in CASES:
        assert case.caller in people(), case.case_id
        assert set(case.expected.documents) <= documents, case.case_id
        for call in case.expected.tools or ():
            assert call.arguments.keys() <= tools[call.name], case.case_id


def test_every_metric_applies_to_cases() -> None:
    applied = Counter(metric for case in CASES for metric in applicable(case))
    assert applied.keys() == {*JUDGED, *RULES}
    assert min(applied.values()) >= 20


def test_a_fact_stands_in_a_document_or_comes_from_a_tool() -> None:
    """Check each number: one that no document and no claim has would make a correct answer fail."""
    import re

    known = " ".join(document.text for document in knowledge.load(KNOWLEDGE)) + str(fixture())
    numbers = set(re.findall(r"\d+(?:[.,]\d+)*", known))
    for case in CASES:
        if case.kind in ("answer", "retrieval"):
            for fact in case.expected.facts:
                assert set(re.findall(r"\d+(?:[.,]\d+)*", fact)) <= numbers, case.case_id


def test_each_case_has_a_desk_of_its_own() -> None:
    first, second = SandboxRecords(records()), SandboxRecords(records())
    first.pay_out("C-8101", 100, "adam", "r")
    first.add_note("C-8101", "adam", "seen")
    kept = fixture()["records"]["claim"]["C-8101"]
    assert second.claim("C-8101") == {"kind": "claim", "id": "C-8101", **kept}
