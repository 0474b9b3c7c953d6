"""Datasets: an unusable row is named, with its fault, and no other row hides it."""

from __future__ import annotations

import json

import pytest

from fmops.evaluation.cases import (
    Case,
    DatasetError,
    Expected,
    FailingCase,
    Label,
    ReviewedCase,
    digest,
    dump,
    of_failing,
    of_reviewed,
    parse,
)

GOOD = {"case_id": "a-1", "kind": "answer", "caller": "carla", "question": "?", "expected": {"facts": ["x"]}}


def broken(**changes: object) -> str:
    return json.dumps({key: value for key, value in (GOOD | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (broken(question=None), r"f line 1 \(a-1\): question is missing"),
        (broken(kind="anser"), r"\(a-1\): kind: .*'answer', 'retrieval'"),
        (broken(fact="x"), r"fact is not a field"),
        (broken(expected={}), r"expected is empty: give at least one"),
        (broken(expected={"facts": [""]}), r"expected.facts.0: .* at least 1 character"),
        (broken(expected={"guardrail": "input stop"}), r"expected.guardrail"),
        (broken(case_id="a b"), r"case_id"),
        ("{", r"f line 1: not JSON"),
        ("[]", r"f line 1: "),
        (json.dumps(GOOD) + "\n" + json.dumps(GOOD), r"f line 2: case_id a-1 stands in line 1 too"),
        ("\n", r"f has no rows"),
    ],
)
def test_a_bad_row_is_named(line: str, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        parse(line, Case, name="f")


def test_every_bad_row_is_named_at_once() -> None:
    with pytest.raises(DatasetError) as failure:
        parse("\n".join([broken(question=None), json.dumps(GOOD), "{"]), Case, name="f")
    assert [line.split(":")[0] for line in str(failure.value).splitlines()] == ["f line 1 (a-1)", "f line 3"]


def test_rows_survive_a_file() -> None:
    rows = [Case.model_validate(GOOD), Case.model_validate(GOOD | {"case_id": "a-2"})]
    assert parse(dump(rows), Case, name="f") == rows
    assert digest(rows) == digest(rows[::-1]) != digest(rows[:1])


def reviewed(*values: bool, corrected: str = "") -> ReviewedCase:
    labels = [Label(criterion="correctness", value=value, reviewer=f"r{n}") for n, value in enumerate(values)]
    return ReviewedCase(
        case_id="int-1", question="?", answer="said", labels=labels, corrected_answer=corrected
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (reviewed(True), ["said"]),
        (reviewed(True, True, False), ["said"]),
        (reviewed(True, False), []),
        (reviewed(False), []),
        (reviewed(False, corrected="right"), ["right"]),
    ],
)
def test_a_reviewed_answer_is_a_case_when_the_right_answer_is_known(
    row: ReviewedCase, expected: list[str]
) -> None:
    assert [fact for case in of_reviewed([row]) for fact in case.expected.facts] == expected


def test_a_failing_answer_is_a_case_when_somebody_said_what_is_right() -> None:
    row = FailingCase(case_id="int-1", question="?", failed=["correctness"], found_by="feedback")
    fixed = row.model_copy(update={"expected": Expected(facts=["x"])})
    assert [case.expected.facts for case in of_failing([row, fixed])] == [["x"]]
