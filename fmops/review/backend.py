"""Where people review: the one interface of MLflow review and Ground Truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fmops.review.labels import Reviewed
from fmops.review.model import Label, ReviewTask


class ReviewUnavailableError(Exception):
    """The backend did not answer; nothing was recorded. The message names the remedy."""


class NoSuchTaskError(LookupError):
    """There is no task of this id."""


class ReviewBackend(Protocol):
    """Takes tasks, gives labels back. Both backends give the same labels."""

    def submit(self, tasks: Sequence[ReviewTask]) -> int:
        """Put tasks before people; answers how many were new. Submitting again changes nothing."""
        ...

    def reviewed(self) -> list[Reviewed]:
        """The tasks of the last days with the labels so far."""
        ...

    def adjudicate(self, reviewed: Sequence[Reviewed]) -> int:
        """Put what people disagree on before somebody who settles it; answers how many were new. Again changes
        nothing."""
        ...


class ReviewQueue(Protocol):
    """What a review page needs of a backend whose labels it writes itself."""

    def reviewed(self) -> list[Reviewed]: ...

    def task(self, task_id: str) -> Reviewed:
        """One task with its labels. Raises ``NoSuchTaskError``."""
        ...

    def label(self, label: Label) -> Reviewed:
        """Record a label; answers the task as it is now. Raises ``NoSuchTaskError``."""
        ...
