"""One visited deployment, which the parts of the demo share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console

Outputs = Mapping[str, Mapping[str, str]]
"""The outputs of the deployment's stacks, by stack id."""


class SignsIn(Protocol):
    """Gives users ID tokens: the demo's users, or one caller whose token was given."""

    def id_token(self, username: str) -> str: ...


@dataclass(frozen=True)
class Visit:
    """A seeded deployment.

    ``settle`` makes buffered records arrive at once, where the deployment has a way to do so. ``ahead`` holds,
    by the chapter's module, what a chapter does before its turn while another one waits. ``chooses_users`` says
    that the sign-in page lists the users, as the local AWS's does, so that the demo's browser can sign in there.
    ``history`` writes days of earlier traffic into the lake, which only a deployment without real traffic gets.
    """

    base_url: str
    outputs: Outputs
    directory: SignsIn
    console: Console
    settle: Callable[[], None] = lambda: None
    ahead: dict[str, Future[Any]] = field(default_factory=dict)
    chooses_users: bool = False
    history: bool = False


Chapter = Callable[[Visit], list[str]]
"""A chapter after the tour: it works through the deployment's own interfaces, prints the results, and returns
the expectations that did not hold."""
