"""The settings of the budgets, in the form of the variable ``FMOPS_BUDGETS``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Limits of what may be spent in a window of time. A limit that is not set does not bind. Windows begin in
    UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1)
    tokens_per_month: int | None = Field(default=None, ge=1)
    usd_per_day: float | None = Field(default=None, gt=0)
    usd_per_month: float | None = Field(default=None, gt=0)


class BudgetSettings(BaseModel):
    """Limits by scope. A person in several teams spends from the budget of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Limits = Limits()
    team: Limits = Field(default=Limits(), description="limits of each team that `teams` does not name")
    teams: dict[str, Limits] = Field(default={}, description="limits of single teams, by name")
    deployment: Limits = Limits()
    team_claim: str = Field(
        default="", description="claim of the ID token that names the teams; the groups claim when empty"
    )
    when_unavailable: Literal["refuse", "allow"] = "refuse"

    @property
    def limited(self) -> bool:
        """Return whether any limit is set."""
        return any(each != Limits() for each in (self.user, self.team, self.deployment, *self.teams.values()))
