"""The results of labels: reviewed evaluation cases, and the rates in the whole traffic with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fmops.evaluation.cases import Criterion, ReviewedCase
from fmops.evaluation.cases import Label as CaseLabel
from fmops.evaluation.statistics import Interval, kappa
from fmops.review.estimate import Estimate, NotEnoughLabelsError, StratumCount, weighted
from fmops.review.labels import Reviewed, State, agreement
from fmops.review.model import JudgeScore, Label, Stratum
from fmops.toolkit.sources import Sources


def case(reviewed: Reviewed, sources: Sources) -> ReviewedCase | None:
    """Return the evaluation case of a settled task; ``None`` for others. ``sources`` gives the
    documents' texts.

    A good answer meets every criterion that applies to it; of a bad one, only the named criterion is known. An
    adjudicator's label counts alone: judges are compared with the settled verdict.
    """
    task = reviewed.task
    if reviewed.state is not State.SETTLED or not task.question.strip() or not task.answer.strip():
        return None
    said = [reviewed.adjudication] if reviewed.adjudication else reviewed.votes
    return ReviewedCase(
        case_id=task.interaction_id,
        trace_id=task.trace_id,
        question=task.question,
        answer=task.answer,
        retrieved=[found[1] for each in task.retrieved if (found := sources(each))],
        corrected_answer=reviewed.corrected_answer if reviewed.verdict == "bad" else "",
        labels=[
            CaseLabel(criterion=criterion, value=value, reviewer=label.reviewer, comment=label.comment)
            for label in said
            for criterion, value in _criteria(
                label, retrieved=bool(task.retrieved), tools=bool(task.tool_calls)
            )
        ],
        model_id=task.model_id,
        prompt_version=task.prompt_version,
        reviewed_at=max(label.labelled_at for label in said),
    )


def _criteria(label: Label, *, retrieved: bool, tools: bool) -> Iterable[tuple[Criterion, bool]]:
    if label.verdict == "bad":
        return [(label.category, False)] if label.category else []
    met: list[Criterion] = ["correctness", "relevance", "safety"]
    met += ["groundedness"] if retrieved else []
    met += ["tool_calls"] if tools else []
    return [(criterion, True) for criterion in met]


@dataclass(frozen=True)
class Quality:
    """Quality of all answers of the last days, estimated from the labels."""

    bad: Estimate | None
    """Share of bad answers; ``None`` while a stratum has no settled task."""
    by_category: Mapping[Criterion, Estimate] = field(default_factory=dict)
    agreement: float | None = None
    tasks: Mapping[State, int] = field(default_factory=dict)
    missing: str = ""
    """Reason why there is no estimate."""

    def metrics(self) -> dict[str, float]:
        """Return the numbers by their names in CloudWatch."""
        found: dict[str, float] = {
            f"Tasks{state.value.capitalize()}": count for state, count in self.tasks.items()
        }
        if self.bad:
            found |= {
                "BadAnswerRate": self.bad.rate,
                "BadAnswerRateLow": self.bad.low,
                "BadAnswerRateHigh": self.bad.high,
                "Labelled": self.bad.labelled,
            }
        if self.agreement is not None:
            found["Agreement"] = self.agreement
        return found


def quality(reviewed: Iterable[Reviewed]) -> Quality:
    """Return the quality of all answers of the labelled days. A day that no one has begun to label is left
    out.
    """
    given = list(reviewed)
    settled = [each for each in given if each.state is State.SETTLED]
    days = {each.task.day for each in settled}
    strata: dict[tuple[str, Stratum], list[Reviewed]] = {}
    for each in given:
        if each.task.day in days:
            strata.setdefault((each.task.day, each.task.stratum), []).append(each)
    states = [each.state for each in given]
    alpha, tasks = agreement(given), {state: states.count(state) for state in State}
    try:
        bad = weighted(_counts(strata))
    except NotEnoughLabelsError as error:
        return Quality(None, agreement=alpha, tasks=tasks, missing=str(error))
    named: set[Criterion] = {each.category for each in settled if each.category}
    by_category = {criterion: weighted(_counts(strata, criterion)) for criterion in sorted(named)}
    return Quality(bad, by_category, alpha, tasks)


@dataclass(frozen=True)
class JudgeAgreement:
    """Judges and people on the same captured answers. A judge calls an answer good if its score reaches the
    threshold."""

    answers: int
    agreed: float | None = None
    """Share of judges' verdicts that equal people's."""
    kappa: Interval | None = None
    """Cohen's kappa; ``None`` where one side always says the same."""

    def metrics(self) -> dict[str, float]:
        """Return the numbers by their names in CloudWatch."""
        found = {} if self.agreed is None else {"JudgeAgreed": self.agreed}
        if self.kappa:
            found |= {
                "JudgeKappa": self.kappa.value,
                "JudgeKappaLow": self.kappa.low,
                "JudgeKappaHigh": self.kappa.high,
            }
        return found

    def __str__(self) -> str:
        if self.agreed is None:
            return "no answer has both a judge's score and a settled label"
        kappa = str(self.kappa) if self.kappa else "not defined: one side always says the same"
        return f"{100 * self.agreed:.0f} % of scores agree on {self.answers} answers, Cohen's kappa {kappa}"


def judge_agreement(
    reviewed: Iterable[Reviewed], scores: Sequence[JudgeScore], threshold: float
) -> JudgeAgreement:
    """Return how far judges agree with settled labels, on the answers that were chosen for review.

    Those answers are more doubtful than the average.
    """
    said = {each.task.interaction_id: each.verdict == "good" for each in reviewed if each.verdict}
    pairs = [
        (said[each.interaction_id], each.score >= threshold) for each in scores if each.interaction_id in said
    ]
    if not pairs:
        return JudgeAgreement(0)
    people, judges = [human for human, _ in pairs], [machine for _, machine in pairs]
    answers = len({each.interaction_id for each in scores if each.interaction_id in said})
    return JudgeAgreement(answers, sum(a == b for a, b in pairs) / len(pairs), kappa(people, judges))


def _counts(
    cells: Mapping[tuple[str, Stratum], list[Reviewed]], category: Criterion | None = None
) -> dict[str, list[StratumCount]]:
    """Return the counts of each stratum's days."""
    counts: dict[str, list[StratumCount]] = {}
    for (_, stratum), tasks in cells.items():
        counts.setdefault(stratum.value, []).append(_count(tasks, category))
    return counts


def _count(tasks: list[Reviewed], category: Criterion | None = None) -> StratumCount:
    settled = [each for each in tasks if each.state is State.SETTLED]
    found = sum(each.verdict == "bad" and (category is None or each.category == category) for each in settled)
    return StratumCount(tasks[0].task.population, len(settled), found)
