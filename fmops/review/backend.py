"""The interface that MLflow review and Ground Truth share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fmops.review.labels import Reviewed
from fmops.review.model import Label, ReviewTask


class ReviewUnavailableError(Exception):
    """The backend did not answer and nothing was recorded. The message names the remedy."""


class NoSuchTaskError(LookupError):
    """No task has this id."""


class ReviewBackend(Protocol):
    """A backend that takes tasks and returns labels. Both backends return the same labels."""

    def submit(self, tasks: Sequence[ReviewTask]) -> int:
        """Submit tasks for review; return how many were new. Submitting again changes nothing."""
        ...

    def reviewed(self) -> list[Reviewed]:
        """Return the tasks of the last days with their labels so far."""
        ...

    def adjudicate(self, reviewed: Sequence[Reviewed]) -> int:
        """Submit disputed tasks to someone who settles them; return how many were new. Submitting again changes
        nothing."""
        ...


class ReviewQueue(Protocol):
    """The methods that a review page needs of a backend whose labels the page itself writes."""

    def reviewed(self) -> list[Reviewed]: ...

    def task(self, task_id: str) -> Reviewed:
        """Return one task with its labels. Raises ``NoSuchTaskError``."""
        ...

    def label(self, label: Label) -> Reviewed:
        """Record a label; return the task as it is now. Raises ``NoSuchTaskError``."""
        ...
