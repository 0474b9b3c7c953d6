"""What the chapters ask, and as whom: ``script.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

SCRIPT = Path(__file__).with_name("script.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewScript(_Part):
    """Two people review, and a third settles what they disagree on; the visitor found one answer unhelpful."""

    reviewers: tuple[str, str]
    adjudicator: str
    unhelpful: str
    correction: str


class EvaluationScript(_Part):
    """Which golden cases the chapter puts to each prompt, and which of them it shows the answers to."""

    prompt_engineer: str
    shown: str
    cases: tuple[str, ...] = Field(min_length=1)


class Script(_Part):
    """The whole file. ``pydantic.ValidationError`` names a field that is missing or not known."""

    visitor: str
    invited: tuple[str, ...]
    review: ReviewScript
    evaluation: EvaluationScript


@cache
def script() -> Script:
    """As it is shipped."""
    return Script.model_validate(yaml.safe_load(SCRIPT.read_text()))
