"""One line of the doctor's report: ok, a warning or a stop, with what to do about it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from settings import Settings

Level = Literal["ok", "warning", "stop"]


@dataclass(frozen=True)
class Finding:
    """The result of a check, and the remedy when it is not ok."""

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Target:
    """The target of the checks: a profile's settings and templates, and clients of the account by service
    name.
    """

    settings: Settings
    region: str
    client: Callable[[str], Any]
    probe: bool = False
    templates: Callable[[], Mapping[str, Any]] = dict
    """Function that returns the templates by stack id, synthesized when a check first needs them."""

    def own(self, stack: str, kind: str) -> set[str]:
        """Return physical ids of the resources of a type that the environment's stack already has; none before
        its first deployment."""
        pages = (
            self.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=f"{self.settings.environment_name}-{stack}")
        )
        try:
            return {
                item["PhysicalResourceId"]
                for page in pages
                for item in page["StackResourceSummaries"]
                if item["ResourceType"] == kind and not item["ResourceStatus"].startswith("DELETE")
            }
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return set()


Check = Callable[[Target], Iterator[Finding]]
CHECKS: list[Check] = []


def check(about: str) -> Callable[[Check], Check]:
    """Register a check. A question that it could not ask becomes a warning that says so, never an ok."""

    def register(examine: Check) -> Check:
        @functools.wraps(examine)
        def run(target: Target) -> Iterator[Finding]:
            try:
                yield from examine(target)
            except (BotoCoreError, ClientError) as error:
                yield Finding(
                    "warning",
                    f"{about} could not be checked: {error}",
                    "give your credentials the read-only permission, or check it yourself",
                )

        CHECKS.append(run)
        return run

    return register
