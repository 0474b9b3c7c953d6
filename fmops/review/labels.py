"""The joint result of several people's labels of a task, and how far people agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fmops.evaluation.cases import Criterion
from fmops.review.alpha import nominal_alpha
from fmops.review.model import Label, ReviewTask, Verdict


class State(StrEnum):
    """State of a task: labels are missing, people disagree, or it is settled."""

    OPEN = "open"
    DISAGREED = "disagreed"
    SETTLED = "settled"


@dataclass(frozen=True)
class Reviewed:
    """A task and people's labels of it, oldest label first."""

    task: ReviewTask
    labels: Sequence[Label] = field(default_factory=list)

    @property
    def votes(self) -> list[Label]:
        """Return the last label of each reviewer, without adjudications."""
        last = {label.reviewer: label for label in self.labels if not label.adjudicates}
        return list(last.values())

    @property
    def adjudication(self) -> Label | None:
        """Return the last label by an adjudicator."""
        return next((label for label in reversed(self.labels) if label.adjudicates), None)

    @property
    def state(self) -> State:
        if self.adjudication:
            return State.SETTLED
        if len(self.votes) < self.task.reviewers:
            return State.OPEN
        return State.SETTLED if len({label.verdict for label in self.votes}) == 1 else State.DISAGREED

    @property
    def verdict(self) -> Verdict | None:
        """Return the verdict of a settled task."""
        if self.state is not State.SETTLED:
            return None
        return (self.adjudication or self.votes[0]).verdict

    @property
    def category(self) -> Criterion | None:
        """Return what is bad: the adjudicator's category, or the most frequent one, the first of them in a
        tie.
        """
        said = [self.adjudication] if self.adjudication else self.votes
        named = Counter(label.category for label in said if label.category)
        return named.most_common(1)[0][0] if self.verdict == "bad" and named else None

    @property
    def corrected_answer(self) -> str:
        """Return the adjudicator's correction, or the last one given."""
        said = [*self.votes, *([self.adjudication] if self.adjudication else [])]
        return next((label.corrected_answer for label in reversed(said) if label.corrected_answer), "")


def agreement(reviewed: Iterable[Reviewed]) -> float | None:
    """Return Krippendorff's alpha of the verdicts (nominal), before adjudication: 1 is perfect, 0 is chance.

    ``None`` when no two people labelled the same task, or all labels are the same, since chance agreement is
    then unknown.
    """
    return nominal_alpha([label.verdict for label in each.votes] for each in reviewed)
