"""Review in SageMaker Ground Truth, for accounts that have it: it has been closed to new customers since
2026-07-30.

A day's tasks become a manifest and a labelling job of a private workteam; its output manifest gives the same
labels as MLflow review. Tasks on which reviewers disagree become a second job, given to the adjudicators'
workteam with one worker each.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops import json_lines
from fmops.review.backend import ReviewUnavailableError
from fmops.review.labels import Reviewed, State
from fmops.review.model import Label, ReviewTask, parse
from fmops.toolkit.sources import Sources

PREFIX = "review/ground-truth"
TEMPLATE = Path(__file__).with_name("worker.liquid.html")
ADJUDICATION = "-adj"
"""Suffix of the name of the job in which a day's disagreements are settled."""
ATTRIBUTE = "review"
"""Name of the labels' attribute in the output manifest."""
LONGEST_LINE, LONGEST_ATTRIBUTE = 100_000, 20_000
"""Maximum characters of a manifest's line and of one attribute (Ground Truth's "Use an Input Manifest
File").
"""
CUT = " [cut]"
TASK_SECONDS = 30 * 60
AVAILABLE_SECONDS = 7 * 24 * 3600

log = logging.getLogger(__name__)


class GroundTruthSettings(BaseSettings):
    """Settings of the resources that the stack has created, from variables named ``FMOPS_LABELING_`` and the
    field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_LABELING_", frozen=True)

    workteam_arn: str = ""
    adjudicators_arn: str = ""
    role_arn: str = ""
    pre_function_arn: str = ""
    post_function_arn: str = ""
    name_prefix: str = "fmops"


def manifest(
    tasks: Sequence[ReviewTask],
    sources: Sources,
    votes: Mapping[str, Sequence[Label]] | None = None,
) -> str:
    """Return the input manifest: a line per task, within the service's limits. ``sources`` gives
    the documents' titles and texts.

    ``votes`` are other reviewers' labels by task id, for the adjudicator.
    """
    lines = (_line(task, sources, (votes or {}).get(task.task_id, ())) for task in tasks)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _line(task: ReviewTask, sources: Sources, votes: Sequence[Label]) -> dict[str, Any]:
    layers = [
        f"{each.direction} {each.action}: {each.reason}" for each in task.guardrails if each.action != "allow"
    ]
    line: dict[str, Any] = {
        "source": _cut(task.question, LONGEST_ATTRIBUTE),
        "answer": _cut(task.answer, LONGEST_ATTRIBUTE),
        "retrieved": [],
        "layers": layers + [f"{call.name} {call.status}" for call in task.tool_calls],
        "votes": [_cut(_said(label), LONGEST_ATTRIBUTE // 10) for label in votes],
        "task-id": task.task_id,
    }
    left = LONGEST_ATTRIBUTE
    for each in task.retrieved:
        title, text = sources(each) or (each.document_id, "")
        line["retrieved"].append({"title": title, "text": _cut(text, max(left - 500, len(CUT)))})
        left -= len(json.dumps(line["retrieved"][-1], ensure_ascii=False)) + 2
        if left < 1_000:
            break
    assert len(json.dumps(line, ensure_ascii=False)) < LONGEST_LINE  # noqa: S101 - follows from the limits above
    return line


def _said(label: Label) -> str:
    words = [label.verdict, label.category or "", label.comment]
    words += [f"should be: {label.corrected_answer}"] if label.corrected_answer else []
    return " · ".join(filter(None, words))


def _cut(text: str, longest: int) -> str:
    """Return the text cut to ``longest`` characters of JSON, in which a character may take six."""
    while len(json.dumps(text, ensure_ascii=False)) > longest:
        excess = len(json.dumps(text, ensure_ascii=False)) - longest
        text = text.removesuffix(CUT)[: -max(1, excess // 6 + len(CUT))] + CUT
    return text


class GroundTruth:
    """A ``ReviewBackend`` with one labelling job per day, named after the day."""

    def __init__(
        self,
        s3: Any,
        bucket: str,
        settings: GroundTruthSettings,
        sources: Sources,
        *,
        session: Any = None,
        region: str | None = None,
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._settings = settings
        self._sources = sources
        self._session = session
        self._region = region

    def submit(self, tasks: Sequence[ReviewTask]) -> int:
        """Start the day's labelling job, unless it has one. Raises ``ReviewUnavailableError`` with the
        remedy.
        """
        if not tasks:
            return 0
        return self._start(self._name(tasks[0].day), tasks, manifest(tasks, self._sources))

    def adjudicate(self, reviewed: Sequence[Reviewed]) -> int:
        """Start a job for each day whose reviewers are done and disagree, unless it has one. Raises
        ``ReviewUnavailableError``."""
        days: dict[str, list[Reviewed]] = {}
        for each in reviewed:
            days.setdefault(each.task.day, []).append(each)
        return sum(
            self._adjudicate(day, disputed)
            for day, all_ in days.items()
            if not any(each.state is State.OPEN for each in all_)
            and (disputed := [each for each in all_ if each.state is State.DISAGREED])
        )

    def _adjudicate(self, day: str, disputed: Sequence[Reviewed]) -> int:
        tasks = [each.task.model_copy(update={"reviewers": 1}) for each in disputed]
        votes = {each.task.task_id: each.votes for each in disputed}
        return self._start(f"{self._name(day)}{ADJUDICATION}", tasks, manifest(tasks, self._sources, votes))

    def _start(self, name: str, tasks: Sequence[ReviewTask], lines: str) -> int:
        if self._read(f"{PREFIX}/{name}/tasks.jsonl") is not None:
            return 0
        self._write(f"{PREFIX}/template.liquid.html", TEMPLATE.read_text(), "text/html")
        self._write(f"{PREFIX}/{name}/input.manifest", lines)
        self._create(name, tasks[0])
        # Written last, since it records that the job was started.
        self._write(f"{PREFIX}/{name}/tasks.jsonl", "".join(task.line() for task in tasks))
        return len(tasks)

    def reviewed(self) -> list[Reviewed]:
        """Return the tasks of every day's job, with the labels of completed output manifests and of settled
        disputes."""
        prefix = f"{PREFIX}/{self._settings.name_prefix}-"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        keys = (item["Key"] for page in pages for item in page.get("Contents", []))
        jobs = [key.split("/")[-2] for key in keys if key.endswith("/tasks.jsonl")]
        found = []
        for name in (each for each in jobs if not each.endswith(ADJUDICATION)):
            tasks, _ = parse(json_lines.split(self._read(f"{PREFIX}/{name}/tasks.jsonl") or ""), ReviewTask)
            votes, settled = self._labels(name), {}
            if f"{name}{ADJUDICATION}" in jobs:
                settled = _settled(votes, self._labels(f"{name}{ADJUDICATION}"))
            found += [
                Reviewed(task, [*votes.get(task.task_id, []), *settled.get(task.task_id, [])])
                for task in tasks
            ]
        return found

    def _labels(self, name: str) -> dict[str, list[Label]]:
        return labels_of(self._read(f"{PREFIX}/output/{name}/manifests/output/output.manifest") or "")

    def _create(self, name: str, task: ReviewTask) -> None:
        from sagemaker.core.resources import LabelingJob

        try:
            LabelingJob.create(**self.request(name, task), session=self._session, region=self._region)
        except Exception as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceInUse":
                # An earlier run started the job, and ended before it could record that.
                log.info("labelling job %s was started before", name)
                return
            raise ReviewUnavailableError(
                f"Ground Truth did not take the labelling job ({type(error).__name__}: {error}). It is closed to new"
                " customers: set review.backend to mlflow where the account does not have it."
            ) from error

    def request(self, name: str, task: ReviewTask) -> dict[str, Any]:
        """Return the arguments of ``LabelingJob.create``, which are those of CreateLabelingJob."""
        from sagemaker.core import shapes

        place = f"s3://{self._bucket}/{PREFIX}"
        settles = name.endswith(ADJUDICATION)
        return {
            "labeling_job_name": name,
            "label_attribute_name": ATTRIBUTE,
            "input_config": shapes.LabelingJobInputConfig(
                data_source=shapes.LabelingJobDataSource(
                    s3_data_source=shapes.LabelingJobS3DataSource(
                        manifest_s3_uri=f"{place}/{name}/input.manifest"
                    )
                )
            ),
            "output_config": shapes.LabelingJobOutputConfig(s3_output_path=f"{place}/output"),
            "role_arn": self._settings.role_arn,
            "human_task_config": shapes.HumanTaskConfig(
                workteam_arn=self._settings.adjudicators_arn if settles else self._settings.workteam_arn,
                ui_config=shapes.UiConfig(ui_template_s3_uri=f"{place}/template.liquid.html"),
                pre_human_task_lambda_arn=self._settings.pre_function_arn,
                task_title="Is this answer good?",
                task_description=(
                    "Read the question, the retrieved text and the answer, and say what you think of the "
                    "answer."
                ),
                number_of_human_workers_per_data_object=task.reviewers,
                task_time_limit_in_seconds=TASK_SECONDS,
                task_availability_lifetime_in_seconds=AVAILABLE_SECONDS,
                annotation_consolidation_config=shapes.AnnotationConsolidationConfig(
                    annotation_consolidation_lambda_arn=self._settings.post_function_arn
                ),
            ),
        }

    def _name(self, day: str) -> str:
        return f"{self._settings.name_prefix}-{day}"

    def _read(self, key: str) -> str | None:
        try:
            return str(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode())
        except self._s3.exceptions.NoSuchKey:
            return None

    def _write(self, key: str, text: str, kind: str = "application/x-ndjson") -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=text.encode(), ContentType=kind)


def _settled(
    votes: Mapping[str, Sequence[Label]], labels: Mapping[str, Sequence[Label]]
) -> dict[str, list[Label]]:
    """Return the adjudicators' labels. Those by people who disagreed before are left out, since they have had
    their vote."""
    found: dict[str, list[Label]] = {}
    for task_id, said in labels.items():
        voters = {label.reviewer for label in votes.get(task_id, ())}
        mine = [label for label in said if label.reviewer not in voters]
        if len(mine) < len(said):
            log.warning("task %s was settled by someone who disagreed before: it stays disputed", task_id)
        found[task_id] = [label.model_copy(update={"adjudicates": True}) for label in mine]
    return found


def labels_of(output_manifest: str) -> dict[str, list[Label]]:
    """Return the labels in an output manifest by task. Other entries are left out, and counted in the log."""
    found: dict[str, list[Label]] = {}
    foreign = 0
    for line in json_lines.split(output_manifest):
        try:
            given = json.loads(line)
            task_id, said = given["task-id"], given[ATTRIBUTE]["labels"]
            at = given[f"{ATTRIBUTE}-metadata"]["creation-date"]
        except (ValueError, KeyError, TypeError):
            foreign += 1
            continue
        for each in said:
            bad = each.get("verdict") == "bad"
            try:
                label = Label.model_validate(
                    {
                        **each,
                        "task_id": task_id,
                        "category": each.get("category") or None if bad else None,
                        "labelled_at": at,
                    }
                )
            except ValidationError:
                foreign += 1
            else:
                found.setdefault(task_id, []).append(label)
    if foreign:
        log.warning("%d lines or labels of an output manifest are not understood", foreign)
    return found
