"""Each interaction belongs to one stratum and has a known chance, and the same day gives the same sample."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmops.capture import lake
from fmops.guardrails import Category, Finding, GuardrailEngine
from fmops.guardrails.detectors.base import Context, Detector
from fmops.guardrails.settings import GuardrailSettings
from fmops.interaction import Feedback, GuardrailFinding, GuardrailOutcome, Interaction
from fmops.review.model import DriftSignal, JudgeScore, Stratum, parse
from fmops.review.sampling import LEAST, Sample, SamplingSettings, allocate, draw
from fmops.toolkit.context import current_interaction, record_outcome

DAY = "2026-11-20"


def interaction(number: int, score: float | None = None, **changes: Any) -> Interaction:
    findings = [GuardrailFinding(category="insult", score=score, detector="toxicity")] if score else []
    record = Interaction(
        interaction_id=f"int-{number:032x}",
        user="u1",
        started_at=f"{DAY}T09:00:00Z",
        input=f"question {number}",
        output="an answer",
        finish_reason="stop",
        guardrails=[GuardrailOutcome(direction="input", action="allow", findings=findings)],
    )
    return record.model_copy(update=changes)


def lake_of(directory: Path, *records: Interaction | Feedback) -> Any:
    path = directory / f"interactions/dt={DAY}/hour=09"
    path.mkdir(parents=True)
    (path / "a").write_bytes(gzip.compress(b"".join(record.line() for record in records)))
    return lake.connect(directory)


def reasons(sample: Sample) -> dict[str, tuple[Stratum, str]]:
    return {task.question: (task.stratum, task.reason) for task in sample.tasks}


def test_an_interaction_belongs_to_the_first_stratum_that_fits(tmp_path: Path) -> None:
    records = [interaction(number) for number in range(10)]
    records[1] = interaction(1, score=0.55)
    records[2] = interaction(2, score=0.2)
    records[7] = interaction(7, score=0.4)
    ids = [record.interaction_id for record in records]
    down = Feedback(interaction_id=ids[0], user="u1", rating="down")
    judges = [
        JudgeScore(interaction_id=ids[0], judge="a", score=0.5),
        JudgeScore(interaction_id=ids[3], judge="a", score=0.9),
        JudgeScore(interaction_id=ids[3], judge="b", score=0.2),
        JudgeScore(interaction_id=ids[4], judge="a", score=0.45),
        JudgeScore(interaction_id=ids[5], judge="a", score=0.95),
        JudgeScore(interaction_id=ids[8], judge="a", score=0.1),
        JudgeScore(interaction_id=ids[8], judge="b", score=0.3),
        JudgeScore(interaction_id=ids[9], judge="a", score=0.3),
        JudgeScore(interaction_id=ids[9], judge="b", score=0.7),
        JudgeScore(interaction_id="int-of-nobody", judge="a", score=0.5),
    ]
    drift = [
        DriftSignal(interaction_id=ids[6], kind="new_topic", detail="hail damage"),
        DriftSignal(interaction_id="int-of-nobody", kind="outlier"),
    ]
    sample = draw(lake_of(tmp_path, *records, down), DAY, SamplingSettings(), judges=judges, drift=drift)
    found = reasons(sample)
    assert found["question 0"] == (Stratum.LOW_FEEDBACK, "rated not helpful")
    assert found["question 1"] == (Stratum.GUARDRAIL_NEAR, "input insult 0.55, threshold 0.60")
    assert found["question 2"] == (Stratum.RANDOM, "chosen at random")
    assert found["question 3"] == (Stratum.JUDGE_DISAGREEMENT, "judges differ by 0.70")
    assert found["question 4"] == (Stratum.JUDGE_NEAR, "judge says 0.45")
    assert found["question 5"][0] is Stratum.RANDOM
    assert found["question 7"] == (Stratum.GUARDRAIL_NEAR, "input insult 0.40, threshold 0.60")
    assert found["question 8"] == (Stratum.JUDGE_BAD, "no judge says more than 0.30")
    assert found["question 9"][0] is Stratum.RANDOM
    assert found["question 6"] == (Stratum.DRIFT, "new_topic: hail damage")
    assert sum(sample.population.values()) == len(sample.tasks) == 10
    assert {task.inclusion_probability for task in sample.tasks} == {1.0}


class Scored(Detector):
    """A detector that gives every text this score."""

    name = "toxicity"
    categories = frozenset({Category.INSULT})

    def __init__(self, score: float) -> None:
        self.score = score

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [[Finding(Category.INSULT, self.score, detector=self.name)] for _ in texts]


# The severities of Bedrock's checks, and the scores that ApplyGuardrail's confidences stand for.
@pytest.mark.parametrize(
    ("score", "stratum"),
    [
        (0.0, Stratum.RANDOM),
        (0.2, Stratum.RANDOM),
        (0.4, Stratum.GUARDRAIL_NEAR),
        (0.45, Stratum.GUARDRAIL_NEAR),
        (0.55, Stratum.GUARDRAIL_NEAR),
        (0.6, Stratum.GUARDRAIL_NEAR),
        (0.7, Stratum.GUARDRAIL_NEAR),
        (0.8, Stratum.GUARDRAIL_NEAR),
        (1.0, Stratum.RANDOM),
    ],
)
async def test_near_misses_are_found_by_what_the_engine_records(
    score: float, stratum: Stratum, tmp_path: Path
) -> None:
    rule = {"categories": ["insult"], "action": "flag", "threshold": 0.6}
    guardrails = GuardrailSettings.model_validate({"rules": [rule]})
    asked = interaction(1, guardrails=[])
    token = current_interaction.set(asked)
    try:
        engine = GuardrailEngine([Scored(score)], settings=guardrails, observers=[record_outcome])
        await engine.check("hello", "input")
    finally:
        current_interaction.reset(token)
    (outcome,) = asked.guardrails
    assert [each.score for each in outcome.scores] == ([score] if score else [])
    assert bool(outcome.findings) == (score >= 0.6)
    sample = draw(lake_of(tmp_path, asked), DAY, SamplingSettings(), guardrails=guardrails)
    assert [task.stratum for task in sample.tasks] == [stratum]


def test_thresholds_are_those_of_the_deployment(tmp_path: Path) -> None:
    rule = {"categories": ["insult"], "action": "block", "threshold": 0.9}
    guardrails = GuardrailSettings.model_validate({"rules": [rule]})
    sample = draw(
        lake_of(tmp_path, interaction(1, score=0.55), interaction(2, score=0.85)),
        DAY,
        SamplingSettings(),
        guardrails=guardrails,
    )
    assert {name: stratum for name, (stratum, _) in reasons(sample).items()} == {
        "question 1": Stratum.RANDOM,
        "question 2": Stratum.GUARDRAIL_NEAR,
    }


def test_only_answers_of_the_day_are_in_the_population_each_once(tmp_path: Path) -> None:
    good = interaction(1)
    others = [
        interaction(2, output=""),
        interaction(5, input="", finish_reason="content_filter"),
        interaction(3, finish_reason="error"),
        interaction(6, finish_reason="client_disconnect"),
        interaction(4, started_at="2026-11-19T23:59:59Z"),
    ]
    sample = draw(lake_of(tmp_path, good, good, *others), DAY, SamplingSettings())
    assert [task.question for task in sample.tasks] == ["question 1"]
    assert sample.population == {Stratum.RANDOM: 1}


def test_a_sample_keeps_to_the_budget_with_known_chances_and_is_drawn_again_the_same(tmp_path: Path) -> None:
    records = [interaction(number, score=0.55 if number % 10 == 0 else None) for number in range(500)]
    connection = lake_of(tmp_path, *records)
    settings = SamplingSettings(budget=50, reviewers=3)
    sample = draw(connection, DAY, settings)
    assert len(sample.tasks) == 50
    for stratum, population in sample.population.items():
        tasks = [task for task in sample.tasks if task.stratum is stratum]
        assert {(task.population, task.sampled, task.reviewers) for task in tasks} == {
            (population, len(tasks), 3)
        }
    assert draw(connection, DAY, settings) == sample
    lines = [task.line() for task in sample.tasks]
    from fmops.review.model import ReviewTask

    assert parse([*lines, "garbage", "\n"], ReviewTask) == (sample.tasks, 1)


def test_a_day_without_interactions_has_no_tasks(tmp_path: Path) -> None:
    assert draw(lake.connect(tmp_path), DAY, SamplingSettings()).tasks == []


@given(
    st.dictionaries(st.sampled_from(Stratum), st.integers(1, 5_000)),
    st.integers(LEAST * len(Stratum), 500),
    st.floats(0.01, 1),
)
def test_the_budget_is_used_and_never_exceeded(
    population: dict[Stratum, int], budget: int, share: float
) -> None:
    shares = allocate(population, budget, share)
    assert sum(shares.values()) == min(budget, sum(population.values()))
    for stratum, chosen in shares.items():
        assert min(LEAST, population[stratum]) <= chosen <= population[stratum]


def test_a_budget_too_small_for_the_strata_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget"):
        SamplingSettings(budget=5)
