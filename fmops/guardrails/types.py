"""The types that the parts of the guardrails exchange: directions, findings, decisions, outcomes.

Offsets are Unicode code points, ends are exclusive. Only ``Outcome.text`` and ``Asked.text`` hold content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from fmops.guardrails.categories import Category

Role = Literal["user", "assistant", "system"]
"""The speaker of a message. A ``system`` message holds the developer's own instructions."""


class Direction(StrEnum):
    """The direction of a text."""

    INPUT = "input"
    OUTPUT = "output"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_RESULTS = "tool_results"
    RETRIEVED = "retrieved"

    @property
    def role(self) -> Role:
        """Return the speaker as the services know it: the model for its own text, the user for everything
        else.
        """
        return "assistant" if self in (Direction.OUTPUT, Direction.TOOL_ARGUMENTS) else "user"


@dataclass(frozen=True, slots=True)
class Asked:
    """A text to check, with what ``GuardrailEngine.check`` may be told about it."""

    text: str = field(repr=False)
    direction: Direction
    role: Role | None = None
    observe: bool = True


class Action(StrEnum):
    """Actions on a finding, the least severe first."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a detector found: in ``[begin, end)``, or in the whole text when ``end`` is 0."""

    category: Category
    score: float
    begin: int = 0
    end: int = 0
    detector: str = ""

    @property
    def is_span(self) -> bool:
        return self.end > self.begin


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's action on one finding or one failed detector, and the rule that decided it."""

    action: Action
    reason: str
    finding: Finding | None = None
    detector: str = ""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A span of the text and its replacement."""

    begin: int
    end: int
    replacement: str


Result = Literal[
    "ok", "cached", "joined", "error", "timeout", "throttled", "malformed", "language", "offsets"
]


@dataclass(frozen=True, slots=True)
class DetectorCall:
    """One question to one detector: for spans and metrics, without content."""

    detector: str
    direction: Direction
    result: Result
    duration_ms: float
    findings: int = 0
    requests: int = 0
    error_type: str = ""

    @property
    def answered(self) -> bool:
        return self.result in ("ok", "cached", "joined")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of checking one text.

    ``text`` is the text after redaction, empty when it was blocked. It is content: observers must not export
    it. ``degraded`` is true when a detector that was due did not answer.
    """

    direction: Direction
    action: Action
    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()
    decisions: tuple[Decision, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    calls: tuple[DetectorCall, ...] = ()
    degraded: bool = False
    duration_ms: float = 0.0
    scores: tuple[Finding, ...] = ()
    """Highest score of each category and detector, even below thresholds."""

    @property
    def detectors(self) -> tuple[str, ...]:
        """Return the detectors that answered."""
        return tuple(call.detector for call in self.calls if call.answered)

    @property
    def blocked(self) -> bool:
        return self.action is Action.BLOCK

    @property
    def deciding(self) -> Decision | None:
        """Return the decision that determined the action: the most severe and, among equals, the one with the
        highest score."""
        return max(
            self.decisions,
            key=lambda decision: (
                decision.action.severity,
                decision.finding.score if decision.finding else 1.0,
            ),
            default=None,
        )

    def summary(self) -> dict[str, str]:
        """Return detector, category, action and direction: everything that a client may learn."""
        deciding = self.deciding
        finding = deciding.finding if deciding else None
        return {
            "detector": (deciding.detector if deciding else ""),
            "category": finding.category.value if finding else (deciding.reason if deciding else ""),
            "action": self.action.value,
            "direction": self.direction.value,
        }


class GuardrailBlocked(Exception):  # noqa: N818 - a verdict, not an error
    """A text was blocked. The message names detector, category and direction, never the content."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.summary = outcome.summary()
        super().__init__(
            "blocked by guardrails: " + ", ".join(f"{key} {value}" for key, value in self.summary.items())
        )


WITHHELD = "Withheld by a guardrail"
_NOTICE = re.compile(rf"{WITHHELD} \((\w+)\)\. Do not try again\.")
DETECTOR_UNAVAILABLE = "detector_unavailable"
"""Reason of a decision about a text that a detector did not answer for in time."""
_REASONS = frozenset({*Category, "blocked", DETECTOR_UNAVAILABLE, "language_not_known", "text_too_long"})


def notice(outcome: Outcome) -> str:
    """Return the text that the model reads in place of a blocked tool result or call."""
    return f"{WITHHELD} ({outcome.summary()['category'] or 'blocked'}). Do not try again."


def is_notice(text: str) -> bool:
    """Return whether this is exactly such a notice: it instructs the model, but it is ours."""
    match = _NOTICE.fullmatch(text)
    return match is not None and match[1] in _REASONS


class DetectorError(Exception):
    """A detector answered, but its answer cannot be used."""

    def __init__(self, message: str, result: Result = "malformed") -> None:
        super().__init__(message)
        self.result: Result = result
