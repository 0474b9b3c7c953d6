"""One line of the doctor's: ok, a warning or a stop, with what to do about it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from settings import Settings

Level = Literal["ok", "warning", "stop"]


@dataclass(frozen=True)
class Finding:
    """What was found, and the remedy when it is not ok."""

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined: the settings of a profile, and clients of the account by service name."""

    settings: Settings
    region: str
    client: Callable[[str], Any]
    probe: bool = False


Check = Callable[[Patient], Iterator[Finding]]
CHECKS: list[Check] = []


def check(about: str) -> Callable[[Check], Check]:
    """Registers a check. What it could not ask is a warning that says so, never an ok."""

    def register(examine: Check) -> Check:
        @functools.wraps(examine)
        def run(patient: Patient) -> Iterator[Finding]:
            try:
                yield from examine(patient)
            except (BotoCoreError, ClientError) as error:
                yield Finding(
                    "warning",
                    f"{about} could not be checked: {error}",
                    "give your credentials the read-only permission, or look yourself",
                )

        CHECKS.append(run)
        return run

    return register
