"""What the demo's parts share: one deployment, visited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from demo.accounts import Directory

Outputs = Mapping[str, Mapping[str, str]]
"""The outputs of the deployment's stacks, by stack id."""


@dataclass(frozen=True)
class Visit:
    """A seeded deployment.

    ``settle`` makes buffered records arrive at once, where the deployment has a way to do so. ``ahead`` is what a chapter
    does before its turn, while another waits, by the chapter's module.
    """

    base_url: str
    outputs: Outputs
    directory: Directory
    console: Console
    settle: Callable[[], None] = lambda: None
    ahead: dict[str, Future[Any]] = field(default_factory=dict)


Chapter = Callable[[Visit], list[str]]
"""What follows the tour: does its part through the deployment's own interfaces, prints what came of it, and answers what
did not hold."""
