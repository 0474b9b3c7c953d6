"""One visited deployment, which the parts of the demo share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.run.progress import Progress
from local.run.report import Section

Outputs = Mapping[str, Mapping[str, str]]
"""The outputs of the deployment's stacks, by stack id."""


class SignsIn(Protocol):
    """Gives users ID tokens: the demo's users, or one caller whose token was given."""

    def id_token(self, username: str) -> str: ...


@dataclass(frozen=True)
class Visit:
    """A seeded deployment, and where the demo reports what it finds there.

    ``logs`` is the folder of the deployment's logs, where they are files. ``settle`` makes buffered records arrive
    at once, where the deployment has a way to do so. ``ahead`` holds, by the chapter's module, what a chapter does
    before its turn while another one waits. ``chooses_users`` says that the sign-in page lists the users, as the
    local AWS's does, so that the demo's browser can sign in there. ``history`` writes days of earlier traffic into
    the lake, which only a deployment without real traffic gets.
    """

    base_url: str
    outputs: Outputs
    directory: SignsIn
    progress: Progress
    logs: str = ""
    settle: Callable[[], None] = lambda: None
    ahead: dict[str, Future[Any]] = field(default_factory=dict)
    chooses_users: bool = False
    history: bool = False

    def look(self, doing: str, *, log: str, group: str = "the assistant's log group in CloudWatch") -> str:
        """Return what to do about a failure: ``doing``, and where its log is, as a file or in CloudWatch."""
        return f"{doing}: {self.logs}/{log}" if self.logs else f"{doing}: {group}"

    @property
    def assistant_log(self) -> str:
        """Name of the assistant's log file."""
        return "function-*Assistant*.log" if "FunctionName" in self.outputs["Assistant"] else "assistant.log"


Chapter = Callable[[Visit, Section], list[str]]
"""A chapter after the tour: it works through the deployment's own interfaces, writes the results to its section
of the report, and returns the expectations that did not hold."""
