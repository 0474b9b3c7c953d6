"""The table of scenarios: the faults of the deployment, and what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from local.aws.faults import Fault

TABLE = Path(__file__).with_name("scenarios.yaml")
MINUTE = 60.0


class ScenarioError(Exception):
    """The table is not usable; the message names the scenario and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Part):
    """Requests sent during the fault: a number of them from one user, every second one streamed.

    ``{n}`` in the text is a new number each time, because guardrails remember texts that they have seen.
    """

    say: str
    user: str = Field(default="carla", alias="as")
    count: int = Field(default=6, ge=1)


class Limit(_Part):
    """Limits that the operating system sets for the assistant's process, on Linux only."""

    files: int | None = Field(
        default=None, ge=0, description="number of descriptors besides those already open"
    )
    file_bytes: int | None = Field(
        default=None, ge=0, description="size that a file may grow to, which simulates a full disk"
    )


class Job(_Part):
    """A deployed job that runs under the faults, and once more when they are gone."""

    name: Literal["analyse", "review"]
    days_ago: int = Field(
        default=1, ge=0, description="number of days before today of the day that the job processes"
    )
    ends: Literal["done", "failed"] = Field(default="done", description="how the run under the faults ends")
    publishes: str = Field(
        default="", description="a metric, as namespace and name, that must be published exactly once"
    )


class Expect(_Part):
    """Expectations of a scenario. In addition, every answered request must be in the lake, and nothing
    may be lost."""

    statuses: list[int] = Field(default=[200], description="of the answers")
    codes: list[str] = Field(
        default=[], description="codes of errors, in an answer or at the end of a stream; any if empty"
    )
    answered: Literal["all", "some", "none", "any"] = Field(
        default="all", description="number of answers with a text of the model"
    )
    within: float = Field(default=20, gt=0, description="deadline of a user in seconds")
    calls: dict[str, float] = Field(default={}, description="maximum calls of an operation per request")
    log_lines: float | None = Field(
        default=None, description="maximum lines of the assistant's log per request"
    )
    executed: bool = Field(default=True, description="whether tools may change records")
    records: Literal["all", "answered"] = Field(
        default="all",
        description="interactions that must be in the lake at the end: all that began, or those with a"
        " complete answer",
    )
    recovers: float = Field(
        default=20, gt=0, description="maximum seconds from the end of the fault to recovery"
    )


class Scenario(_Part):
    """One row of the table."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    what: str
    faults: list[Fault] = []
    kill: Literal["", "assistant", "collector"] = ""
    stop: bool = Field(default=False, description="whether to kill by SIGTERM, which leaves time to finish")
    limit: Limit | None = None
    hold: float = Field(default=0, ge=0, description="seconds that the fault lasts after the last answer")
    job: Job | None = None
    ask: list[Ask] = [Ask.model_validate({"say": "Question {n}: what is the deductible for water damage?"})]
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _does_something(self) -> Scenario:
        if not (self.faults or self.kill or self.limit):
            raise ValueError("a scenario needs faults, kill or limit")
        return self


def load(path: Path = TABLE) -> list[Scenario]:
    """Return the scenarios in their order. Raises ``ScenarioError``."""
    try:
        rows = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: {error}") from error
    found: list[Scenario] = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        name = row.get("name", f"number {number + 1}") if isinstance(row, dict) else f"number {number + 1}"
        try:
            found.append(Scenario.model_validate(row))
        except ValidationError as error:
            said = "; ".join(
                f"{'.'.join(map(str, each['loc'])) or 'row'}: {each['msg']}" for each in error.errors()
            )
            raise ScenarioError(f"{path.name}: scenario {name}: {said}") from error
    names = [each.name for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ScenarioError(f"{path.name}: there are two scenarios of the name {', '.join(twice)}")
    return found
