"""The questions of the chapters, and who asks them: ``script.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fmops import written

SCRIPT = Path(__file__).with_name("script.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewScript(_Part):
    """Two people who review, a third who settles their disagreements, and a visitor who found one answer
    unhelpful."""

    reviewers: tuple[str, str]
    adjudicator: str
    unhelpful: str
    correction: str


class EvaluationScript(_Part):
    """Golden cases that the chapter puts to each prompt, and those whose answers it shows."""

    prompt_engineer: str
    shown: str
    cases: tuple[str, ...] = Field(min_length=1)


class DocumentsScript(_Part):
    """A question that only the dropped document answers, and what is for staff only.

    The visitor asks each of the ``wordings`` about each of the ``subjects``; no answer may rest on the ``hidden``
    documents or hold one of the ``secrets``.
    """

    ask: str
    says: str
    page: int
    hidden: tuple[str, ...] = Field(min_length=1)
    secrets: tuple[str, ...] = Field(min_length=1)
    wordings: tuple[str, ...] = Field(min_length=1)
    subjects: tuple[str, ...] = Field(min_length=1)


class GapsScript(_Part):
    """Document that an editor publishes for the gap whose questions hold ``about``, and a question that it answers."""

    editor: str
    about: str
    title: str
    text: str
    ask: str
    says: str


class LeftScript(_Part):
    """A request that waits for approval after the demo, for people to decide."""

    user: str
    ask: str


class Script(_Part):
    """The script's whole file. ``pydantic.ValidationError`` names a field that is missing or unknown."""

    visitor: str
    invited: tuple[str, ...]
    operator: str
    left: LeftScript
    documents: DocumentsScript
    gaps: GapsScript
    review: ReviewScript
    evaluation: EvaluationScript


@cache
def script() -> Script:
    """Return the script that ships with the demo."""
    return written.read_model(Script, SCRIPT)
