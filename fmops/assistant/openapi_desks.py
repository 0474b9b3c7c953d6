"""Shapes of the answers of the review desk, the editors' desk and the playground, for the OpenAPI document only."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fmops.assistant.openapi_models import Shape, ToolCall
from fmops.variants.variant import Answer


class QueuedTask(Shape):
    """A task that the caller may label."""

    task_id: str
    adjudicates: bool = Field(description="whether the caller settles a disagreement")


class Progress(Shape):
    """Progress of the review."""

    mine: int
    left: int
    open: int
    disagreed: int
    settled: int
    agreement: float | None = Field(description="Krippendorff's alpha; null while there is too little")


class ReviewQueue(Shape):
    """The caller's open tasks."""

    tasks: list[QueuedTask]
    progress: Progress


class RetrievedText(Shape):
    """A document that the model was given, as far as the reviewer may read it."""

    document_id: str
    title: str
    text: str
    page: int | None = Field(description="page of a PDF, from 1 on")
    score: float


class TaskOutcome(Shape):
    """Decision of the guardrails about a text."""

    direction: str
    action: str
    detector: str
    reason: str


class GivenLabel(Shape):
    """Another reviewer's label, shown only to who settles the disagreement."""

    verdict: str
    category: str | None
    corrected_answer: str
    comment: str


class ReviewTask(Shape):
    """One answer to judge."""

    task_id: str
    trace_id: str
    question: str
    answer: str
    retrieved: list[RetrievedText]
    guardrails: list[TaskOutcome]
    tools: list[ToolCall]
    model_id: str
    prompt_version: str
    started_at: str
    adjudicates: bool
    labels: list[GivenLabel] | None = None


class LabelAccepted(Shape):
    """The task after the label."""

    task_id: str
    state: Literal["open", "disagreed", "settled"]


DraftState = Literal["draft", "publishing", "published", "discarded"]


class DraftSummary(Shape):
    """A draft without its text."""

    id: str
    title: str
    state: DraftState
    classification: Literal["public", "internal"]
    region: str
    made_at: str
    published_at: str
    document_id: str


class CoverageGap(Shape):
    """Questions that are like each other and that no document answers."""

    id: str
    terms: list[str]
    share: float = Field(description="share of all questions of the report, between 0 and 1")
    similarity: float | None = Field(description="median cosine similarity to the nearest document")
    questions: list[str] = Field(description="examples, after redaction")
    draft: DraftSummary | None


class Gaps(Shape):
    """The gaps of the last report."""

    window: str = Field(description="the report's day, or day and hour; empty without any gap")
    gaps: list[CoverageGap]
    earlier: list[DraftSummary] = Field(description="drafts of gaps that the last report no longer has")


class DraftSource(Shape):
    """A document that the draft was made from."""

    id: str
    title: str
    classification: str
    region: str


class DraftedDocument(DraftSummary):
    """A draft of a document."""

    gap_id: str
    window: str
    text: str = Field(description="Markdown")
    questions: list[str]
    sources: list[DraftSource]
    corrections: int = Field(description="number of reviewers' corrected answers that it was made from")
    model_id: str = Field(description="the model that wrote it; empty if there was nothing to write it from")
    edited_at: str
    discarded_at: str
    cases: int = Field(description="number of evaluation cases that its questions became")
    version: str = Field(description="to be sent with the next change")


class PlaygroundPrompt(Shape):
    """A version of the prompt."""

    version: str
    template: str
    serves: bool


class PlaygroundCase(Shape):
    """A golden case."""

    case_id: str
    kind: str
    caller: str
    question: str
    expected: dict[str, Any]


class PlaygroundChoices(Shape):
    """Prompts, models and cases that can be compared."""

    prompts: list[PlaygroundPrompt]
    models: list[str]
    cases: list[PlaygroundCase]


class Tried(Shape):
    """The variants' answers, in the order of the request."""

    answers: list[Answer]


class SavedVersion(Shape):
    """The new version, which serves nobody yet."""

    version: str
