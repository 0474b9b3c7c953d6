"""Review in MLflow: each task is a trace made from the captured record, each label an assessment of it.

We make the trace ourselves, so it does not matter by which route, or whether, the service's own traces reach
MLflow. It carries the interaction's id and X-Ray's trace id as tags.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from pydantic import ValidationError

from fmops.interaction import timestamp
from fmops.review.backend import NoSuchTaskError, ReviewUnavailableError
from fmops.review.labels import Reviewed
from fmops.review.model import Label, ReviewTask
from fmops.tracking import signed_in

EXPERIMENT = "review"
VERDICT, CORRECTION = "verdict", "expected_response"
"""Names of the assessments: the verdict on the answer, and what the answer should have been."""
INTERACTION, STRATUM, DAY, STATE = (
    "fmops.interaction.id",
    "fmops.review.stratum",
    "fmops.review.day",
    "fmops.review.state",
)
TASK = "fmops.review.task"
TASK_ID = re.compile(r"[\w-]{1,100}")
PAGE = 200
WORKERS = 8
"""Maximum traces that are written at once."""


class MlflowReview:
    """A ``ReviewBackend`` and a ``ReviewQueue``. ``days`` is the maximum age of the tasks that it lists.

    ``tracking_uri`` is an App's ARN or a server's address; it applies to the whole process, which has one
    MLflow.
    """

    def __init__(self, tracking_uri: str, *, days: int = 30) -> None:
        self._uri = tracking_uri
        self._days = days
        self._lock = threading.Lock()
        self._experiment = ""
        self._tasks: dict[str, ReviewTask] = {}

    def submit(self, tasks: Sequence[ReviewTask]) -> int:
        """Make the traces of tasks that have none. Raises ``ReviewUnavailableError`` when one did not arrive."""
        # A span is then written when it ends, so that missing traces are known below.
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
        with self._mlflow() as mlflow:
            known = {trace.info.tags.get(INTERACTION) for trace in self._search(mlflow, spans=False)}
            new = [task for task in tasks if task.interaction_id not in known]
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(lambda task: self._trace_signed_in(mlflow, task), new))
            there = {trace.info.tags.get(INTERACTION) for trace in self._search(mlflow, spans=False)}
        if missing := [task.task_id for task in new if task.interaction_id not in there]:
            raise ReviewUnavailableError(
                f"{len(missing)} of {len(new)} tasks did not arrive in MLflow, such as {missing[0]}: run the job again"
            )
        return len(new)

    def reviewed(self) -> list[Reviewed]:
        with self._mlflow() as mlflow:
            traces = list(self._search(mlflow, spans=False))
            if any(trace.info.tags.get(INTERACTION, "") not in self._tasks for trace in traces):
                traces = list(self._search(mlflow, spans=True))
                self._learn(traces)
        found: dict[str, Reviewed] = {}
        for trace in traces:
            task = self._tasks.get(trace.info.tags.get(INTERACTION, ""))
            if task:
                # Simultaneous runs may have left two traces of a task: it counts as one task, with the labels
                # of both.
                seen = found[task.task_id].labels if task.task_id in found else ()
                labels = sorted([*seen, *_labels(trace.info, task)], key=lambda label: label.labelled_at)
                found[task.task_id] = Reviewed(task, labels)
        return list(found.values())

    def adjudicate(self, reviewed: Sequence[Reviewed]) -> int:  # noqa: ARG002
        """Do nothing: the review page shows adjudicators a dispute as soon as it arises."""
        return 0

    def task(self, task_id: str) -> Reviewed:
        with self._mlflow() as mlflow:
            return self._find(mlflow, task_id)[1]

    def label(self, label: Label) -> Reviewed:
        """Record a label, the correction first, because the verdict completes it."""
        from mlflow.entities import AssessmentSource

        with self._mlflow() as mlflow:
            trace_id = self._find(mlflow, label.task_id)[0].trace_id
            source = AssessmentSource(source_type="HUMAN", source_id=label.reviewer)
            if label.corrected_answer:
                mlflow.log_expectation(
                    trace_id=trace_id, name=CORRECTION, value=label.corrected_answer, source=source
                )
            details = {"adjudicates": str(label.adjudicates).lower(), "labelled_at": label.labelled_at}
            mlflow.log_feedback(
                trace_id=trace_id,
                name=VERDICT,
                value=label.verdict,
                source=source,
                rationale=label.comment or None,
                metadata=details | ({"category": label.category} if label.category else {}),
            )
            # Looked up again, because someone else may have labelled it in the meantime.
            info, now = self._find(mlflow, label.task_id)
            if info.tags.get(STATE) != now.state.value:
                mlflow.set_trace_tag(trace_id, STATE, now.state.value)
        return now

    def forget(self, user: str, interactions: Collection[str] | None = None) -> int:
        """Delete the traces, with their labels, of a user's interactions, or of only those given; return how
        many.
        """
        from mlflow import MlflowClient

        with self._mlflow() as mlflow:
            mine = [
                trace.info.trace_id
                for trace in self._search(mlflow, spans=False, days=None)
                if trace.info.trace_metadata.get("mlflow.trace.user") == user
                and (interactions is None or trace.info.tags.get(INTERACTION) in interactions)
            ]
            for start in range(0, len(mine), 100):
                MlflowClient(self._uri).delete_traces(self._experiment, trace_ids=mine[start : start + 100])
        return len(mine)

    @contextmanager
    def _mlflow(self) -> Iterator[Any]:
        """Yield MLflow, with the experiment created; its errors become ``ReviewUnavailableError``."""
        # Imported here because it takes seconds, which only those who review should wait for.
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            with signed_in():
                with self._lock:
                    if not self._experiment:
                        mlflow.set_tracking_uri(self._uri)
                        self._experiment = _experiment(mlflow)
                yield mlflow
        except MlflowException as error:
            raise ReviewUnavailableError(
                f"MLflow did not answer ({error.error_code}): try again, and look at the tracking server"
            ) from error

    def _search(self, mlflow: Any, *, spans: bool, days: int | None = -1, task_id: str = "") -> Iterator[Any]:
        limit = self._days if days == -1 else days
        conditions = [f"timestamp_ms > {int((time.time() - limit * 86_400) * 1000)}"] if limit else []
        conditions += [f"tags.`{INTERACTION}` = '{task_id}'"] if task_id else []
        client, token = mlflow.MlflowClient(), None
        while True:
            page = client.search_traces(
                locations=[self._experiment],
                filter_string=" AND ".join(conditions) or None,
                max_results=PAGE,
                page_token=token,
                include_spans=spans,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _find(self, mlflow: Any, task_id: str) -> tuple[Any, Reviewed]:
        """Return MLflow's data on the trace, and the task with its current labels. Raises
        ``NoSuchTaskError``.
        """
        if not TASK_ID.fullmatch(task_id):
            raise NoSuchTaskError(task_id)
        known = task_id in self._tasks
        traces = list(self._search(mlflow, spans=not known, task_id=task_id))
        if not known:
            self._learn(traces)
        if not traces or task_id not in self._tasks:
            raise NoSuchTaskError(task_id)
        task = self._tasks[task_id]
        return traces[0].info, Reviewed(task, _labels(traces[0].info, task))

    def _learn(self, traces: Sequence[Any]) -> None:
        """Remember the tasks of traces, which never change. Others may have traces in our experiment."""
        for trace in traces:
            given = next(
                (span.attributes[TASK] for span in trace.data.spans if TASK in span.attributes), None
            )
            with suppress(ValidationError):
                self._tasks[trace.info.tags[INTERACTION]] = ReviewTask.model_validate(given)

    def _trace_signed_in(self, mlflow: Any, task: ReviewTask) -> None:
        with signed_in():
            self._trace(mlflow, task)

    def _trace(self, mlflow: Any, task: ReviewTask) -> None:
        with _ids_of(task):
            self._trace_with_ids(mlflow, task)

    def _trace_with_ids(self, mlflow: Any, task: ReviewTask) -> None:
        began = _nanoseconds(task.started_at)
        root = mlflow.start_span_no_context(
            "interaction",
            span_type="AGENT",
            inputs={"messages": [{"role": "user", "content": task.question}]},
            attributes={TASK: task.model_dump(mode="json")},
            tags={
                INTERACTION: task.interaction_id,
                "fmops.trace_id": task.trace_id,
                STRATUM: task.stratum.value,
                DAY: task.day,
                STATE: "open",
            },
            metadata={"mlflow.trace.user": task.user},
            experiment_id=self._experiment,
            start_time_ns=began,
        )
        for number, (name, kind, outputs) in enumerate(_steps(task), 1):
            # A microsecond apart, since only their order is known.
            at = began + number * 1_000
            child = mlflow.start_span_no_context(name, span_type=kind, parent_span=root, start_time_ns=at)
            child.set_outputs(outputs)
            child.end(end_time_ns=at)
        root.set_outputs({"role": "assistant", "content": task.answer})
        root.end(end_time_ns=began + 1_000_000)


class _TaskIds(RandomIdGenerator):
    """Ids derived from the task: of two runs that do not see each other's trace, the second writes the same
    one.
    """

    def generate_trace_id(self) -> int:
        numbers = _numbers.get()
        return numbers.getrandbits(128) if numbers else super().generate_trace_id()

    def generate_span_id(self) -> int:
        numbers = _numbers.get()
        return numbers.getrandbits(64) if numbers else super().generate_span_id()


_numbers: ContextVar[random.Random | None] = ContextVar("numbers", default=None)


@contextmanager
def _ids_of(task: ReviewTask) -> Iterator[None]:
    """Give the spans that MLflow begins in this thread the ids of the task's trace."""
    from mlflow.tracing.provider import provider

    provider.get_or_init_tracer(__name__)
    if not isinstance(provider.get().id_generator, _TaskIds):
        provider.get().id_generator = _TaskIds()
    token = _numbers.set(random.Random(f"review {task.task_id}"))  # noqa: S311 - an id, not a secret
    try:
        yield
    finally:
        _numbers.reset(token)


def _steps(task: ReviewTask) -> Iterator[tuple[str, str, Any]]:
    if task.retrieved:
        yield "retrieved", "RETRIEVER", [document.model_dump() for document in task.retrieved]
    for call in task.tool_calls:
        yield call.name, "TOOL", {"status": call.status}
    if task.guardrails:
        yield "guardrails", "UNKNOWN", [outcome.model_dump() for outcome in task.guardrails]


def _labels(info: Any, task: ReviewTask) -> list[Label]:
    """Return the labels among a trace's assessments, oldest first. Other assessments, such as judges', are left
    out."""
    human = [each for each in info.assessments if each.source.source_type == "HUMAN"]
    corrections = {
        each.source.source_id: str(each.expectation.value)
        for each in sorted(human, key=lambda each: each.create_time_ms or 0)
        if each.name == CORRECTION and each.expectation
    }
    labels = []
    for each in human:
        if each.name != VERDICT or not each.feedback:
            continue
        details = each.metadata or {}
        try:
            label = Label(
                task_id=task.task_id,
                reviewer=each.source.source_id,
                verdict=each.feedback.value,
                category=details.get("category"),
                corrected_answer=corrections.get(each.source.source_id, ""),
                comment=each.rationale or "",
                adjudicates=details.get("adjudicates") == "true",
                labelled_at=details.get("labelled_at") or timestamp(),
            )
        except ValidationError:
            continue  # entered by hand in MLflow, with values other than ours
        labels.append(label)
    return sorted(labels, key=lambda label: label.labelled_at)


def _experiment(mlflow: Any) -> str:
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    try:
        return str(mlflow.create_experiment(EXPERIMENT))
    except MlflowException:  # another process created it first
        return str(mlflow.get_experiment_by_name(EXPERIMENT).experiment_id)


def _nanoseconds(moment: str) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1e9)
    except ValueError:
        return int(datetime.now(UTC).timestamp() * 1e9)
