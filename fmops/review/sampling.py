"""The choice of a day's interactions for people to look at: a stratified random sample under a budget.

Interactions that are likely to be bad, or to teach something, are over-represented. Every interaction has a
known probability above zero, so that rates estimated from the labels can be weighted back
(``fmops.review.estimate``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, Field

from fmops.guardrails import Direction
from fmops.guardrails.categories import Category
from fmops.guardrails.settings import GuardrailSettings
from fmops.interaction import Interaction
from fmops.review.model import DriftSignal, JudgeScore, ReviewTask, Stratum

LEAST = 2
"""Minimum labels of a stratum, so that its share of the uncertainty can be estimated."""

_log = logging.getLogger(__name__)


class SamplingSettings(BaseModel):
    """Size of the sample, and the distances that count as near."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = Field(default=40, ge=LEAST * len(Stratum), le=10_000, description="tasks per day")
    random_share: float = Field(
        default=0.4, gt=0, le=1, description="share of the budget for the random floor"
    )
    reviewers: int = Field(default=2, ge=1, le=9, description="number of people who label each task")
    # Bedrock's severities are 0.2 apart, so a smaller margin around 0.6 would contain none of them.
    guardrail_margin: float = Field(
        default=0.25, gt=0, lt=1, description="distance of a score from its threshold that counts as near"
    )
    judge_threshold: float = Field(default=0.5, gt=0, lt=1)
    judge_margin: float = Field(default=0.15, gt=0, lt=1)
    judge_spread: float = Field(
        default=0.5, gt=0, le=1, description="difference between judges that counts as disagreement"
    )


@dataclass(frozen=True)
class Sample:
    """The tasks of a day, and the number of interactions in each stratum from which they were chosen."""

    tasks: list[ReviewTask]
    population: Mapping[Stratum, int]


def draw(
    connection: duckdb.DuckDBPyConnection,
    day: str,
    settings: SamplingSettings,
    *,
    guardrails: GuardrailSettings | None = None,
    judges: Iterable[JudgeScore] = (),
    drift: Iterable[DriftSignal] = (),
) -> Sample:
    """Choose tasks from the interactions of ``day`` (UTC) in the view of ``lake.connect``.

    The choice depends only on the day and the interactions' ids: drawing again gives the same tasks.
    Interactions without an answer are not in the population, nor are blocked questions, whose text is not
    stored. Signals about missing interactions are ignored.
    """
    _load_signals(connection, guardrails or GuardrailSettings(), judges, drift)
    connection.execute(_READ_ONCE)
    connection.execute(_CANDIDATES, _parameters(day, settings))
    rows = connection.execute(
        "SELECT stratum, count(*), min_by({id: interaction_id, reason: reason}, draw, $budget) FROM "
        "candidates GROUP BY stratum",
        {"budget": settings.budget},
    ).fetchall()
    population = {Stratum(stratum): count for stratum, count, _ in rows}
    shares = allocate(population, settings.budget, settings.random_share)
    chosen = {
        each["id"]: (Stratum(stratum), each["reason"])
        for stratum, _, nearest in rows
        for each in nearest[: shares[Stratum(stratum)]]
    }
    tasks = [
        ReviewTask.of(
            interaction,
            day=day,
            stratum=stratum,
            reason=reason,
            population=population[stratum],
            sampled=shares[stratum],
            reviewers=settings.reviewers,
        )
        for interaction in interactions(connection, list(chosen))
        for stratum, reason in [chosen[interaction.interaction_id]]
    ]
    return Sample(
        sorted(tasks, key=lambda task: (list(Stratum).index(task.stratum), task.task_id)), population
    )


def allocate(population: Mapping[Stratum, int], budget: int, random_share: float) -> dict[Stratum, int]:
    """Return how many of each stratum to choose, ``budget`` in all or everything there is.

    The random floor has its share; the other strata divide the rest equally. What a stratum does not need goes
    to the others. No stratum has fewer than ``LEAST``, unless it has fewer interactions.
    """
    wanted = dict.fromkeys((each for each in Stratum if population.get(each)), 0)
    left = budget
    for stratum in wanted:
        wanted[stratum] = min(LEAST, population[stratum])
        left -= wanted[stratum]
    floor = min(population.get(Stratum.RANDOM, 0), round(budget * random_share))
    if Stratum.RANDOM in wanted and floor > wanted[Stratum.RANDOM]:
        more = min(left, floor - wanted[Stratum.RANDOM])
        wanted[Stratum.RANDOM] += more
        left -= more
    others: list[Stratum] = [each for each in wanted if each is not Stratum.RANDOM]
    while left > 0:
        open_ = [each for each in others if wanted[each] < population[each]]
        if not open_:
            others = [each for each in wanted if wanted[each] < population[each]]
            if not others:
                break
            continue
        least = min(open_, key=lambda each: wanted[each])
        wanted[least] += 1
        left -= 1
    return wanted


def thresholds(settings: GuardrailSettings) -> list[tuple[str, str, str, float]]:
    """Return the least score that counts, by direction, category and detector."""
    policy = settings.policy()
    return [
        (direction.value, category.value, detector, rule.threshold)
        for direction in Direction
        for category in Category
        for detector in settings.detectors
        if (rule := policy.rule(direction, category, detector)) is not None
    ]


def _load_signals(
    connection: duckdb.DuckDBPyConnection,
    guardrails: GuardrailSettings,
    judges: Iterable[JudgeScore],
    drift: Iterable[DriftSignal],
) -> None:
    _table(
        connection,
        "thresholds",
        "direction VARCHAR, category VARCHAR, detector VARCHAR, threshold DOUBLE",
        thresholds(guardrails),
    )
    _table(
        connection,
        "judges",
        "interaction_id VARCHAR, judge VARCHAR, score DOUBLE",
        [(each.interaction_id, each.judge, each.score) for each in judges],
    )
    _table(
        connection,
        "signals",
        "interaction_id VARCHAR, kind VARCHAR, detail VARCHAR",
        [(each.interaction_id, each.kind, each.detail) for each in drift],
    )


def _table(
    connection: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608 - names of our own


def interactions(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[Interaction]:
    """Return the records with these ids in the view of ``lake.connect``, each once."""
    relation = connection.execute(
        "SELECT * EXCLUDE (dt, hour, feedback_id, rating, comment) FROM interactions"
        " WHERE record_type = 'interaction' AND list_contains(?, interaction_id)",
        [ids],
    )
    names = [column[0] for column in relation.description]
    rows = (dict(zip(names, row, strict=True)) for row in relation.fetchall())
    given = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return list({row["interaction_id"]: Interaction.model_validate(row) for row in given}.values())


def _parameters(day: str, settings: SamplingSettings) -> dict[str, Any]:
    return {
        "day": day,
        "guardrail_margin": settings.guardrail_margin,
        "judge_threshold": settings.judge_threshold,
        "judge_margin": settings.judge_margin,
        "judge_spread": settings.judge_spread,
    }


_READ_ONCE = """
CREATE OR REPLACE TEMP TABLE read_once AS
SELECT
  record_type, interaction_id, "user", started_at, rating, guardrails,
  input <> '' AND output <> '' AND finish_reason NOT IN ('error', 'client_disconnect', 'budget_exceeded') AS answered
FROM interactions
"""
_CANDIDATES = Path(__file__).with_name("candidates.sql").read_text()
