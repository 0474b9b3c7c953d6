"""Settings of human review."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from settings.kinds import InstanceType, ModelId, Pattern, Section

JOB_VARIABLE = 256
"""Maximum characters of an environment variable's value (CreateProcessingJob)."""


class Review(Section):
    """Human review of answers."""

    backend: Literal["mlflow", "ground_truth"] = "mlflow"
    """Backend in which people review. `ground_truth`: SageMaker Ground Truth, closed to new customers since
    2026-07-30."""

    budget: Annotated[int, Field(ge=14, le=10_000)] = 40
    """Number of interactions that people review per day; at least two of each of the seven strata."""
    random_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of the review budget given to interactions without a signal, drawn at random."""
    reviewers: Annotated[int, Field(ge=1, le=9)] = 2
    """Number of people who label each interaction."""
    judges: tuple[ModelId, ...] = (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.amazon.nova-pro-v1:0",
    )
    """Models that judge captured answers; people review where judges are unsure or differ. Choose different
    makers, so that they can differ."""
    judged: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Number of a day's answers that the judges grade, drawn at random; each costs two or three calls of each
    judge. 0 means none."""
    days: Annotated[int, Field(ge=1, le=365)] = 30
    """Maximum age in days of tasks that are reviewed, collected and used for estimates."""
    schedule: Annotated[str, Pattern(pattern=r"^(rate|cron)\(.+\)$")] | None = "cron(0 3 * * ? *)"
    """Schedule on which a day's tasks are chosen (EventBridge Scheduler, UTC)."""
    instance_type: InstanceType = "ml.m5.large"
    """Instance type for SageMaker Processing, for the review and evaluation jobs."""
    volume_gib: Annotated[int, Field(ge=10, le=1024)] = 30
    """Size in GiB of the job's disk."""

    @model_validator(mode="after")
    def _check(self) -> Review:
        if len(set(self.judges)) != len(self.judges):
            raise ValueError("judges names a model twice, which cannot disagree with itself: name another")
        if self.judged and len(self.judges) < 2:
            raise ValueError(
                f"judged is {self.judged}, but judges has {len(self.judges)} of the two models that "
                "can differ: name another, or set judged to 0"
            )
        if len(json.dumps(self.judges)) > JOB_VARIABLE:
            raise ValueError(
                f"judges is longer than the {JOB_VARIABLE} characters that a variable of a job can "
                "have: name fewer models"
            )
        return self
