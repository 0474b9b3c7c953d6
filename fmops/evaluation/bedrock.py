"""Bedrock's own model evaluation with a judge (CreateEvaluationJob), of answers that have already been given.

Rules of the dataset and limits: Bedrock user guide, "model-evaluation-prompt-datasets-judge", and the service
model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmops import json_lines
from fmops.evaluation.cases import EvaluationError
from fmops.evaluation.evaluate import Evaluation

MAX_ROWS = 1000
"""Maximum prompts of one job."""
MAX_METRICS = 25
METRICS = (
    "Builtin.Correctness",
    "Builtin.Completeness",
    "Builtin.Faithfulness",
    "Builtin.Helpfulness",
    "Builtin.Coherence",
    "Builtin.Relevance",
    "Builtin.FollowingInstructions",
    "Builtin.ProfessionalStyleAndTone",
    "Builtin.Harmfulness",
    "Builtin.Stereotyping",
    "Builtin.Refusal",
)
"""Metrics of a judge. Harmfulness, Stereotyping and Refusal are better when lower."""
STANDARD = ("Builtin.Correctness", "Builtin.Completeness", "Builtin.Relevance", "Builtin.Harmfulness")
TASK = "General"
"""Task type of jobs with a judge.

It is the value in public code that runs such jobs, and the results' keys are named after it
(`taskTypes/General`). The service model's list of task types does not name it; its pattern, which is what the
client checks, admits it.
"""
SOURCE = re.compile(r"[^a-zA-Z0-9._-]+")
OUTPUT = re.compile(r"_output\.jsonl$")


@dataclass(frozen=True)
class Dataset:
    """The input of a job. Its rows have one response each, all from one ``source``, as the job's request
    must say.
    """

    source: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


def dataset(evaluation: Evaluation) -> Dataset:
    """Return an evaluation's answers to the cases with a reference answer. Raises ``EvaluationError`` for none,
    or too many."""
    source = SOURCE.sub("-", evaluation.variant.name or "assistant").strip("-.")[:256]
    lines = []
    for case in evaluation.cases:
        answer = evaluation.sheet.answers.get(case.case_id, "")
        if not case.expected.answer or not answer.strip():
            continue
        row = {
            "prompt": case.question,
            "referenceResponse": case.expected.answer,
            "category": case.kind,
            "modelResponses": [{"response": answer, "modelIdentifier": source}],
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    if not lines:
        raise EvaluationError(
            "No case has both an answer and a reference answer (expected.answer): there is nothing to judge."
        )
    if len(lines) > MAX_ROWS:
        raise EvaluationError(
            f"{len(lines)} rows are more than the {MAX_ROWS} of one job: give a smaller dataset."
        )
    return Dataset(source, tuple(lines))


def request(
    made: Dataset,
    *,
    name: str,
    dataset_uri: str,
    output_uri: str,
    role_arn: str,
    judge: str,
    metrics: Sequence[str] = STANDARD,
) -> dict[str, Any]:
    """Return the parameters of CreateEvaluationJob. Raises ``EvaluationError`` for metrics that a judge does
    not have."""
    if unknown := [metric for metric in metrics if metric not in METRICS]:
        raise EvaluationError(
            f"{', '.join(unknown)}: not a metric of a judge; there are {', '.join(METRICS)}"
        )
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise EvaluationError(f"{len(metrics)} metrics: give 1 to {MAX_METRICS}")
    data = {"name": "answers", "datasetLocation": {"s3Uri": dataset_uri}}
    return {
        "jobName": job_name(name),
        "roleArn": role_arn,
        "applicationType": "ModelEvaluation",
        "evaluationConfig": {
            "automated": {
                "datasetMetricConfigs": [{"taskType": TASK, "dataset": data, "metricNames": list(metrics)}],
                "evaluatorModelConfig": {"bedrockEvaluatorModels": [{"modelIdentifier": judge}]},
            }
        },
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": made.source}}]
        },
        "outputDataConfig": {"s3Uri": output_uri},
    }


def job_name(text: str) -> str:
    """Return a name in the service's form: up to 63 lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def scores(outputs: Sequence[str]) -> dict[str, list[float]]:
    """Return scores by metric from a job's output files. Raises ``EvaluationError`` for a line without
    scores.
    """
    found: dict[str, list[float]] = {}
    for text in outputs:
        for number, line in enumerate(json_lines.split(text), 1):
            try:
                for each in json.loads(line)["automatedEvaluationResult"]["scores"]:
                    if each.get("result") is not None:
                        found.setdefault(str(each["metricName"]), []).append(float(each["result"]))
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"line {number} of the job's output is not a result ({type(error).__name__}): look "
                    "at the job in Bedrock"
                ) from error
    return found


def metric_names(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the means under their names in an MLflow run."""
    return {
        f"bedrock_{metric.removeprefix('Builtin.')}_mean": sum(values) / len(values)
        for metric, values in sorted(found.items())
        if values
    }
