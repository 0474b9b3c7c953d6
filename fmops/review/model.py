"""The data that the parts of review exchange: signals, tasks and labels, all of them as JSON lines in the
lake.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fmops.evaluation.cases import Criterion
from fmops.interaction import GuardrailOutcome, Interaction, RetrievedDocument, ToolCall, timestamp

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
Verdict = Literal["good", "bad"]
LONGEST_ANSWER = 20_000


class Stratum(StrEnum):
    """Reason why an interaction may be looked at. Each belongs to the first that fits, in this order."""

    LOW_FEEDBACK = "low_feedback"
    JUDGE_DISAGREEMENT = "judge_disagreement"
    GUARDRAIL_NEAR = "guardrail_near"
    JUDGE_NEAR = "judge_near"
    JUDGE_BAD = "judge_bad"
    DRIFT = "drift"
    RANDOM = "random"


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    def line(self) -> str:
        """Return the record as one JSON line, newline included."""
        return self.model_dump_json() + "\n"


class JudgeScore(_Line):
    """One judge's score of one captured answer, from 0 (bad) to 1 (good)."""

    interaction_id: str
    judge: str
    score: float = Field(ge=0, le=1)
    criteria: dict[str, float] = Field(
        default={}, description="grades from 0 to 1, the lowest of which is the score"
    )


class DriftSignal(_Line):
    """An interaction that the embedding analysis found: far from everything, of a new topic, or without a
    document."""

    interaction_id: str
    kind: str
    detail: str = ""


class ReviewTask(_Line):
    """One interaction for people to look at, with the probability with which it was chosen."""

    task_id: str = Field(description="the interaction's id, since an interaction is reviewed once")
    interaction_id: str
    trace_id: str = ""
    user: str = Field(default="", description="pseudonym of the user, for deletion requests")
    day: str = Field(description="day of the sample, such as `2026-11-24`")
    stratum: Stratum
    reason: str = Field(default="", description="what put it there, for the reviewer")
    population: int = Field(ge=1, description="number of the day's interactions in the stratum")
    sampled: int = Field(ge=1, description="number of them that were chosen")
    question: str
    answer: str
    retrieved: list[RetrievedDocument] = []
    guardrails: list[GuardrailOutcome] = []
    tool_calls: list[ToolCall] = []
    finish_reason: str = ""
    model_id: str = ""
    prompt_version: str = ""
    started_at: str = ""
    reviewers: int = Field(default=2, ge=1, le=9, description="number of people who label it")

    @property
    def inclusion_probability(self) -> float:
        """Return the probability of being chosen; its inverse is the weight."""
        return self.sampled / self.population

    @classmethod
    def of(
        cls,
        interaction: Interaction,
        *,
        day: str,
        stratum: Stratum,
        reason: str,
        population: int,
        sampled: int,
        reviewers: int,
    ) -> ReviewTask:
        return cls(
            task_id=interaction.interaction_id,
            interaction_id=interaction.interaction_id,
            trace_id=interaction.trace_id,
            user=interaction.user,
            day=day,
            stratum=stratum,
            reason=reason,
            population=population,
            sampled=sampled,
            question=interaction.input,
            answer=interaction.output,
            retrieved=interaction.retrieved,
            guardrails=interaction.guardrails,
            tool_calls=interaction.tool_calls,
            finish_reason=interaction.finish_reason,
            model_id=interaction.model_id,
            prompt_version=interaction.prompt_version,
            started_at=interaction.started_at,
            reviewers=reviewers,
        )


class Label(_Line):
    """One person's label of one task. ``category`` is the first criterion that a bad answer does not meet."""

    task_id: str
    reviewer: str = Field(min_length=1, description="pseudonym")
    verdict: Verdict
    category: Criterion | None = None
    corrected_answer: str = Field(default="", max_length=LONGEST_ANSWER)
    comment: str = Field(default="", max_length=2_000)
    adjudicates: bool = Field(default=False, description="whether it settles a disagreement of others")
    labelled_at: str = Field(default_factory=lambda: timestamp())

    @model_validator(mode="after")
    def _consistent(self) -> Label:
        check(self.verdict, self.category)
        return self


def check(verdict: Verdict, category: Criterion | None) -> None:
    """Raise ``ValueError`` when the two contradict each other."""
    if verdict == "bad" and category is None:
        raise ValueError(f"category is missing: say what is bad, one of {', '.join(CRITERIA)}")
    if verdict == "good" and category is not None:
        raise ValueError("category is for bad answers: leave it out of a good one")


Line = TypeVar("Line", bound=_Line)


def parse(lines: Iterable[str], kind: type[Line]) -> tuple[list[Line], int]:
    """Return the records of this kind, and the number of other lines."""
    found: list[Line] = []
    foreign = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError:
            foreign += 1
    return found, foreign
