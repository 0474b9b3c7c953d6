"""Judges' grades of captured answers: they show which answers are worth a look, and the quality of the traffic
by day.

A random part of a day's answers, under a budget, is graded by several judges, criterion by criterion. A judge's
score of an answer is its lowest grade. Only the grades are kept: rationales quote what people said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import duckdb
from botocore.exceptions import BotoCoreError, ClientError

from fmops.evaluation.cases import Criterion
from fmops.evaluation.judge import Grade, JudgeError
from fmops.interaction import Interaction
from fmops.review.model import JudgeScore
from fmops.review.sampling import interactions
from fmops.toolkit.knowledge import KnowledgeUnavailableError
from fmops.toolkit.sources import Sources

CRITERIA: tuple[Criterion, ...] = ("relevance", "safety", "groundedness")
"""Criteria that can be judged without knowing the right answer; the last one applies where documents were
retrieved."""
KEEP_EVERY = 10
"""Number of scores that are saved together: a killed job loses fewer than this that it has paid for."""
WORKERS = 8

_log = logging.getLogger(__name__)


class Grader(Protocol):
    """The part of ``fmops.evaluation.judge.Judge`` that is needed here."""

    model_id: str

    def grade(self, criterion: Criterion, sections: Mapping[str, str], *, case_id: str) -> Grade: ...


@dataclass(frozen=True)
class Judged:
    """The scores of a day, including those of earlier runs."""

    scores: list[JudgeScore]
    made: int = 0
    """Number of scores that this run has paid for."""
    failed: int = 0
    """Number of answers for which a judge gave no usable grade."""
    away: str = ""
    """Reason why judging ended early: a model that did not answer."""

    def metrics(self, spread: float) -> dict[str, float]:
        """Return the numbers by their names in CloudWatch; ``spread`` is the difference that counts as
        disagreement."""
        found: dict[str, float] = {"JudgeFailures": self.failed + bool(self.away)}
        ordered = sorted(self.scores, key=lambda each: each.interaction_id)
        by_answer = [[each.score for each in group] for _, group in groupby(ordered, _answer)]
        found["AnswersJudged"] = len(by_answer)
        if by_answer:
            found["JudgeScore"] = _mean(each.score for each in self.scores)
        if several := [scores for scores in by_answer if len(scores) > 1]:
            found["JudgeDisagreement"] = _mean(max(each) - min(each) >= spread for each in several)
        for criterion in CRITERIA:
            grades = [each.criteria[criterion] for each in self.scores if criterion in each.criteria]
            if grades:
                found[f"Judge{criterion.capitalize()}"] = _mean(grades)
        return found


def judge(
    connection: duckdb.DuckDBPyConnection,
    day: str,
    judges: Sequence[Grader],
    *,
    budget: int,
    known: Sequence[JudgeScore],
    keep: Callable[[Sequence[JudgeScore]], None],
    sources: Sources,
) -> Judged:
    """Have the judges grade up to ``budget`` answers of ``day`` (UTC), including those with ``known`` scores.

    ``keep`` receives scores soon after they were paid for; ``sources`` gives the documents' texts.
    The choice depends only on the day and the interactions' ids, so that the next run continues one that was
    interrupted.
    """
    done = {(each.interaction_id, each.judge) for each in known}
    chosen = interactions(connection, _chosen(connection, day, budget, {each for each, _ in done}))
    open_ = [
        (each, grader)
        for each in chosen
        for grader in judges
        if (each.interaction_id, grader.model_id) not in done
    ]
    made: list[JudgeScore] = []
    waiting: list[JudgeScore] = []
    failed, away = 0, ""
    pool = ThreadPoolExecutor(WORKERS)
    running: list[Future[JudgeScore]] = []
    try:
        running += [pool.submit(_score, *each, sources) for each in open_]
        for each in as_completed(running):
            try:
                waiting.append(each.result())
            except JudgeError as error:
                failed += 1
                _log.warning("%s", error)
            except (BotoCoreError, ClientError, KnowledgeUnavailableError) as error:
                away = f"{_whose(error)} did not answer ({_code(error)}): the next run of this day goes on"
                break
            if len(waiting) >= KEEP_EVERY:
                keep(waiting)
                made, waiting = made + waiting, []
    finally:
        # Requests in progress are paid for, so their results are awaited and kept.
        pool.shutdown(cancel_futures=True)
        seen = {(each.interaction_id, each.judge) for each in made + waiting}
        ended = (each.result() for each in running if not each.cancelled() and not each.exception())
        waiting += [each for each in ended if (each.interaction_id, each.judge) not in seen]
        if waiting:
            keep(waiting)
    return Judged([*known, *made, *waiting], made=len(made + waiting), failed=failed, away=away)


def _chosen(connection: duckdb.DuckDBPyConnection, day: str, budget: int, begun: set[str]) -> list[str]:
    """Return ids of the answers to judge: those already begun, and others at random up to the budget."""
    rows = connection.execute(_ANSWERED, {"day": day}).fetchall()
    ids = [interaction_id for (interaction_id,) in rows]
    others = [each for each in ids if each not in begun][: max(0, budget - len(begun))]
    return [each for each in ids if each in begun] + others


def _score(interaction: Interaction, grader: Grader, sources: Sources) -> JudgeScore:
    retrieved = [found[1] for each in interaction.retrieved if (found := sources(each))]
    sections = {
        "question": interaction.input,
        "answer": interaction.output,
        "sources": "\n\n".join(retrieved),
    }
    criteria = [each for each in CRITERIA if each != "groundedness" or retrieved]
    grades = {
        each: grader.grade(each, sections, case_id=interaction.interaction_id).grade / 10 for each in criteria
    }
    return JudgeScore(
        interaction_id=interaction.interaction_id,
        judge=grader.model_id,
        score=min(grades.values()),
        criteria=grades,
    )


def _answer(score: JudgeScore) -> str:
    return score.interaction_id


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _whose(error: BotoCoreError | ClientError | KnowledgeUnavailableError) -> str:
    return "the knowledge base" if isinstance(error, KnowledgeUnavailableError) else "a judge"


def _code(error: BotoCoreError | ClientError | KnowledgeUnavailableError) -> str:
    if isinstance(error, KnowledgeUnavailableError):
        return error.code
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


_ANSWERED = """
SELECT interaction_id FROM (SELECT DISTINCT interaction_id, md5('judges' || $day || interaction_id) AS place
FROM interactions
WHERE record_type = 'interaction' AND starts_with(started_at, $day)
  AND input <> '' AND output <> '' AND finish_reason NOT IN ('error', 'client_disconnect', 'budget_exceeded'))
ORDER BY place
"""
