"""The evaluation of a variant of the assistant: its answers to all cases, measured, in one MLflow run with a
trace per case."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from botocore.exceptions import BotoCoreError, ClientError
from sagemaker_mlflow import set_session

from fmops.conversation.failures import AnswerFailedError
from fmops.evaluation.cases import Case, EvaluationError, digest
from fmops.evaluation.journal import Journal, key
from fmops.evaluation.judge import Judge
from fmops.evaluation.scoring import METRICS, Sheet, applicable, scorers
from fmops.variants.variant import Answer, Variant, VariantAssistant, Workbench

COMPLETE = "fmops.complete"
"""Tag of a run that holds everything it should; runs without it are no evidence."""


@dataclass(frozen=True)
class Evaluation:
    """The results of one evaluation."""

    variant: Variant
    cases: Sequence[Case]
    sheet: Sheet
    run_id: str
    seconds: float
    complete: bool
    """True if MLflow has every score."""

    @property
    def problems(self) -> list[str]:
        """Return why scores are missing, each reason once."""
        found = (text for metrics in self.sheet.problems.values() for text in metrics.values())
        return list(dict.fromkeys(found))


class Evaluator:
    """Evaluate variants over the same cases with the same judge.

    Args:
        bench: makes the assistants.
        judge: gives the verdicts.
        journal: records what was paid for.
        experiment: MLflow experiment of the runs.
        workers: number of cases at once; the bench's rate limiter bounds model calls per second.
        autolog: trace every step of LangChain in each answer, for experiments.
        progress: show a bar on stderr.
    """

    def __init__(
        self,
        bench: Workbench,
        judge: Judge,
        journal: Journal,
        *,
        experiment: str,
        workers: int = 8,
        autolog: bool = False,
        progress: bool = True,
    ) -> None:
        self._autolog, self._progress = autolog, progress
        self._bench, self._judge, self.journal = bench, judge, journal
        self._experiment, self._workers = experiment, workers

    def evaluate(self, variant: Variant, cases: Sequence[Case], *, dataset: str = "golden") -> Evaluation:
        """Evaluate a variant. Raises ``EvaluationError`` when MLflow fails; what was paid for stays in the
        journal."""
        os.environ["MLFLOW_GENAI_EVAL_MAX_WORKERS"] = str(self._workers)
        os.environ["MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION"] = "true"
        if not self._autolog:
            # Tracing takes one REST call for each of twenty spans of an answer: useful for experiments, not
            # for
            # an evaluation.
            mlflow.langchain.autolog(disable=True, silent=True)
        mlflow.bedrock.autolog(disable=True, silent=True)
        assistant = self._bench.assistant(variant)
        sheet, by_id = Sheet(), {case.case_id: case for case in cases}
        rows = [{"inputs": _inputs(case), "expectations": _expectations(case)} for case in cases]
        began = time.monotonic()
        try:
            mlflow.set_experiment(self._experiment)
            with mlflow.start_run(run_name=variant.name or variant.prompt.version) as run:
                mlflow.log_params(variant.parameters() | {"judge_model_id": self._judge.model_id})
                mlflow.set_tags(
                    {"dataset": dataset, "dataset_version": digest(cases), "cases": str(len(cases))}
                )
                mlflow.log_text(variant.prompt.template, "prompt.md")
                with contextlib.ExitStack() as silent:
                    # hides MLflow's advertisement
                    silent.enter_context(contextlib.redirect_stdout(io.StringIO()))
                    if not self._progress:
                        silent.enter_context(contextlib.redirect_stderr(io.StringIO()))
                    result = mlflow.genai.evaluate(
                        data=rows,
                        scorers=scorers(self._judge, sheet, by_id),
                        predict_fn=self._predict(assistant, sheet),
                    )
                seconds = time.monotonic() - began
                complete = _recorded(cases, sheet, result)
                evaluation = Evaluation(variant, list(cases), sheet, run.info.run_id, seconds, complete)
                self._log(evaluation)
        except mlflow.MlflowException as error:
            raise EvaluationError(
                f"MLflow went away ({error.error_code}): nothing was decided. Run it again when MLflow is back; "
                "answers and verdicts that were paid for are kept."
            ) from error
        return evaluation

    def _predict(self, assistant: VariantAssistant, sheet: Sheet) -> Any:
        @mlflow.trace(name="answer", span_type="AGENT")
        def answer(case_id: str, caller: str, question: str) -> dict[str, Any]:
            # for this thread: otherwise the plugin makes a session for each call
            set_session(self._bench.session)
            mlflow.update_current_trace(
                tags={"case_id": case_id, "prompt_version": assistant.variant.prompt.version}
            )
            entry = key(assistant.fingerprint, caller, question)
            if (found := self.journal.find("answers", entry)) is not None:
                return noted(case_id, found)
            try:
                made: Answer = asyncio.run(assistant.answer(caller, question))
            except (AnswerFailedError, LookupError, BotoCoreError, ClientError) as error:
                return {"error": str(error)}
            if made.finish == "error":
                return {"error": "the assistant failed"}
            answered = made.model_dump(mode="json")
            self.journal.keep("answers", entry, answered)
            return noted(case_id, answered)

        def noted(case_id: str, answered: dict[str, Any]) -> dict[str, Any]:
            sheet.answers[case_id] = answered["text"]
            sheet.put(case_id, "latency_seconds", answered["seconds"])
            if answered["cost_usd"] is not None:
                sheet.put(case_id, "cost_usd", answered["cost_usd"])
            return answered

        return answer

    def _log(self, evaluation: Evaluation) -> None:
        sheet, cases = evaluation.sheet, evaluation.cases
        means = {metric: sheet.mean(metric) for metric in METRICS}
        mlflow.log_metrics({f"{metric}_mean": value for metric, value in means.items() if value is not None})
        mlflow.log_metrics(
            {
                "cases": len(cases),
                "cases_per_minute": 60 * len(cases) / max(evaluation.seconds, 1e-9),
                "answers_saved": self.journal.saved["answers"],
                "judge_calls_saved": self.journal.saved["verdicts"],
                "scores_missing": sum(len(metrics) for metrics in sheet.problems.values()),
            }
        )
        mlflow.log_dict(
            {
                case_id: {"scores": sheet.values.get(case_id, {}), "missing": sheet.problems.get(case_id, {})}
                for case_id in (case.case_id for case in cases)
            },
            "scores.json",
        )
        mlflow.set_tag(COMPLETE, str(evaluation.complete).lower())


def _recorded(cases: Sequence[Case], sheet: Sheet, result: Any) -> bool:
    """Return whether MLflow has every score: its harness only warns when one was not accepted."""
    expected = sum(len(applicable(case)) for case in cases)
    logged = sum(
        (assessment.get("feedback") or {}).get("value") is not None
        for row in result.result_df["assessments"]
        for assessment in row
    )
    return not sheet.problems and logged == expected


def _expectations(case: Case) -> dict[str, Any]:
    """Return the expectations for people who read the traces; the scorers have the case itself."""
    return {"expected": case.expected.model_dump(mode="json", exclude_defaults=True)}


def _inputs(case: Case) -> dict[str, str]:
    return {"case_id": case.case_id, "caller": case.caller, "question": case.question}
