"""Evaluation cases: one per JSON line, in three kinds of files that the parts of the loop exchange.

- golden: ``Case``, written by people who know the domain.
- reviewed: ``ReviewedCase``, written by human review: an answer that was given, and people's labels for it.
- failing: ``FailingCase``, written by whatever found a bad answer: feedback, a judge, a guardrail, a reviewer.

``load`` reads any of them; ``of_reviewed`` and ``of_failing`` make cases of the latter two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from fmops import json_lines, written

Criterion = Literal["correctness", "groundedness", "relevance", "safety", "tool_calls"]
"""Criterion on which judges and people decide yes or no."""

Kind = Literal["answer", "retrieval", "tool", "refusal", "attack"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
DocumentId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f/][^\x00-\x1f\x7f]{0,1022}$")]
"""A document's path below the published folder, without its extension: with slashes, spaces and any script."""

REVIEWED_KEY = "evaluation/reviewed.jsonl"
"""Key in the data lake under which the review job stores reviewed cases."""
GAPS_KEY = "evaluation/gaps.jsonl"
"""Key in the data lake of the cases that came of closed coverage gaps (``fmops.drafting``)."""


class EvaluationError(Exception):
    """An evaluation cannot start or did not finish; the message says what to do."""


class DatasetError(EvaluationError):
    """A row cannot be used; the message names file, line and field, and says what is wrong."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectedCall(_Row):
    """A tool call that must be made. ``arguments`` holds those whose values must match exactly."""

    name: Identifier
    status: Literal["success", "denied", "error", "blocked", "waiting"] = "success"
    arguments: dict[str, str | int] = {}


class Expected(_Row):
    """Requirements for the answer. Whatever is not given is not checked."""

    facts: list[Text] = Field(default=[], description="statements that a correct answer makes")
    answer: str = Field(default="", description="a reference answer, for people and for Bedrock's judge")
    documents: list[DocumentId] = Field(default=[], description="documents that retrieval must return")
    tools: list[ExpectedCall] | None = Field(default=None, description="exactly these calls; [] means none")
    finish: Literal["stop", "content_filter"] | None = None
    guardrail: str = Field(
        default="", pattern=r"^$|^(input|output|tool_arguments|tool_results|retrieved) (flag|redact|block)$"
    )
    lacks: list[Text] = Field(default=[], description="text that must not occur in the answer")


class Case(_Row):
    """One question to the assistant, the person who asks it, and the requirements for the answer."""

    case_id: Identifier
    kind: Kind
    caller: Identifier = Field(description="a person of the evaluation's desk")
    question: Text
    expected: Expected
    source: Literal["golden", "reviewed", "failing"] = "golden"

    @model_validator(mode="after")
    def _expects_something(self) -> Case:
        if self.expected == Expected():
            raise ValueError(
                "expected is empty: give at least one of facts, documents, tools, finish, guardrail, lacks"
            )
        return self


class Label(_Row):
    """One person's label for one criterion."""

    criterion: Criterion
    value: bool = Field(description="true: the answer meets the criterion")
    reviewer: str = Field(min_length=1, description="pseudonym")
    comment: str = ""


class ReviewedCase(_Row):
    """An answer that was given, as it was captured, with people's labels."""

    case_id: Identifier = Field(description="the interaction_id of a captured answer")
    trace_id: str = ""
    question: Text
    answer: Text
    retrieved: list[str] = Field(default=[], description="texts that the answer rests on")
    facts: list[Text] = Field(default=[], description="what a correct answer would say")
    corrected_answer: str = ""
    labels: list[Label] = Field(min_length=1)
    model_id: str = ""
    prompt_version: str = ""
    caller: Identifier = "customer"
    reviewed_at: str = ""

    def label(self, criterion: Criterion) -> bool | None:
        """Return the majority of the labels of a criterion; ``None`` for a tie or no labels."""
        values = [label.value for label in self.labels if label.criterion == criterion]
        agreed = sum(values)
        return None if 2 * agreed == len(values) else 2 * agreed > len(values)


class FailingCase(_Row):
    """An answer that was found to be bad."""

    case_id: Identifier = Field(description="the interaction_id of a captured answer")
    trace_id: str = ""
    question: Text
    answer: str = ""
    failed: list[Criterion] = Field(min_length=1)
    found_by: Literal["feedback", "judge", "guardrail", "review", "operator"]
    reason: str = ""
    expected: Expected = Field(default=Expected(), description="empty until someone says what would be right")
    caller: Identifier = "customer"
    model_id: str = ""
    prompt_version: str = ""
    found_at: str = ""


Row = TypeVar("Row", Case, ReviewedCase, FailingCase)


def load(path: Path, kind: type[Row]) -> list[Row]:
    """Return the rows of a JSON-lines file. Raises ``DatasetError``, which names the file or every bad row."""
    try:
        text = written.read(path)
    except written.UnreadableFileError as error:
        raise DatasetError(str(error)) from None
    return parse(text, kind, name=path.name)


def parse(text: str, kind: type[Row], *, name: str) -> list[Row]:
    """Return the rows of JSONL text. Raises ``DatasetError``, which names every bad row of ``name``."""
    rows: list[Row] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(json_lines.split(text), 1):
        if not line.strip():
            continue
        try:
            row = kind.model_validate_json(line, strict=True)
        except ValidationError as error:
            problems += [
                f"{name} line {number}{_case(line)}: {_sentence(detail)}" for detail in error.errors()
            ]
            continue
        if row.case_id in seen:
            problems.append(
                f"{name} line {number}: case_id {row.case_id} stands in line {seen[row.case_id]} too; give each its own"
            )
        seen[row.case_id] = number
        rows.append(row)
    if not rows and not problems:
        problems.append(f"{name} has no rows")
    if problems:
        raise DatasetError("\n".join(problems))
    return rows


def dump(rows: Iterable[BaseModel]) -> str:
    """Return rows as JSON lines, as ``load`` reads them."""
    return "".join(row.model_dump_json(exclude_defaults=True) + "\n" for row in rows)


def digest(rows: Sequence[BaseModel]) -> str:
    """Return the version of a dataset: 12 hex digits of a hash of its rows, whatever their order."""
    lines = sorted(row.model_dump_json() for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def of_reviewed(rows: Iterable[ReviewedCase]) -> Iterator[Case]:
    """Yield cases of reviewed answers whose right answer is known: by a correction, facts, or a label that it
    was right."""
    for row in rows:
        reference = row.corrected_answer or (row.answer if row.label("correctness") else "")
        if row.facts or reference:
            expected = Expected(facts=row.facts or [reference], answer=reference)
            yield Case(
                case_id=row.case_id,
                kind="answer",
                caller=row.caller,
                question=row.question,
                expected=expected,
                source="reviewed",
            )


def of_failing(rows: Iterable[FailingCase]) -> Iterator[Case]:
    """Yield cases of failing answers for which someone has said what would be right."""
    for row in rows:
        if row.expected != Expected():
            yield Case(
                case_id=row.case_id,
                kind="answer",
                caller=row.caller,
                question=row.question,
                expected=row.expected,
                source="failing",
            )


def _case(line: str) -> str:
    try:
        case_id = json.loads(line).get("case_id", "")
    except (ValueError, AttributeError):
        return ""
    return f" ({case_id})" if case_id else ""


def _sentence(detail: Any) -> str:
    field = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is not a field: remove it, or correct its name"
        case "json_invalid":
            return f"not JSON: {detail['ctx']['error']}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
