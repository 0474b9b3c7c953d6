"""Review: two reviewers label what the tour captured, and their labels become evaluation cases.

The reviewers follow the script below. The tasks, the page, the labels, the agreement and the estimate are real.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import boto3
import httpx
from rich.table import Table
from rich.text import Text

from demo import browser
from demo.script import script
from demo.visit import Visit
from fmops import json_lines
from fmops.agent import NAME
from fmops.deployment import Deployment
from fmops.partitions import earliest_hour, partition
from local.run.report import Section
from ops.jobs import JobError, follow

PATIENCE = 180
"""Maximum seconds until the rating arrives in the lake."""

Said = Mapping[str, str]


def review(visit: Visit, section: Section) -> list[str]:
    """Run the chapter and return the expectations that did not hold."""
    try:
        return _review(visit, section)
    except JobError as error:
        return [f"review: {error}"]


def _review(visit: Visit, section: Section) -> list[str]:
    _ask_and_complain(visit)
    bucket = visit.outputs["Capture"]["LakeBucketName"]
    day = datetime.now(UTC).date().isoformat()
    with ThreadPoolExecutor() as meanwhile:
        job = meanwhile.submit(run_job, visit, "--day", day)
        tokens = {
            name: meanwhile.submit(visit.directory.id_token, name)
            for name in (*script().review.reviewers, script().review.adjudicator)
        }
        with _pages(visit, section) as pages:
            job.result()
            tasks = lines(bucket, f"review/tasks/dt={day}/tasks.jsonl")
            section.table(_table_of(tasks))
            for people in (script().review.reviewers, [script().review.adjudicator]):
                work({name: pages(name, tokens[name].result()) for name in people})
            progress = _progress(visit, tokens[script().review.adjudicator].result())
    run_job(visit, "--collect")
    cases = lines(bucket, "evaluation/reviewed.jsonl")
    metrics = _metrics()
    _say(visit, section, progress, cases, metrics)
    return list(_problems(tasks, progress, cases, metrics))


def opinion(name: str, question: str, answer: str) -> Said:
    """Return a reviewer's opinion of an answer. The second reviewer is stricter with about every fifth."""
    if question == script().review.unhelpful:
        wrong = {"verdict": "bad", "category": "correctness"}
        return wrong | (
            {"corrected_answer": script().review.correction} if name == script().review.reviewers[0] else {}
        )
    strict = zlib.crc32(f"{question}{answer}".encode()) % 5 == 0
    if name == script().review.reviewers[1] and strict:
        return {"verdict": "bad", "category": "relevance"}
    return {"verdict": "good"}


class Page(Protocol):
    """The review page as one person sees it."""

    def next(self) -> tuple[str, str] | None:
        """Return the question and answer of the task that is shown, or ``None`` if nothing is left."""
        ...

    def say(self, said: Said) -> None: ...


def work(pages: Mapping[str, Page]) -> None:
    """Let each person in turn label one task, until nobody has any left."""
    busy = dict(pages)
    while busy:
        for name, page in list(busy.items()):
            if shown := page.next():
                page.say(opinion(name, *shown))
            else:
                del busy[name]


@contextmanager
def _pages(visit: Visit, section: Section) -> Iterator[Any]:
    refusal = Deployment("", outputs=visit.outputs).assistant_environment().get("FMOPS_NO_SIGN_IN")
    # In AWS nobody's password is typed by a program, so the browser is for the local run only.
    found = browser.find() if visit.chooses_users and not refusal else None
    if found is None:
        if refusal:
            section.notes.append(f"The labels go through the page's HTTP API. {refusal}")
        elif visit.chooses_users:
            section.notes.append(
                "There is no browser here, so the labels go through the page's HTTP API."
                f" To see the page used, {browser.REMEDY}."
            )
        yield lambda _, token: HttpPage(visit.base_url, token)
        return
    with browser.opened(found) as opened:
        yield lambda name, _: BrowserPage(opened, visit.base_url, name)


class BrowserPage:
    """The page in a real browser, where a person signs in and works with its keyboard shortcuts."""

    def __init__(self, opened: Any, base_url: str, name: str) -> None:
        self._context = opened.new_context()
        self._page = self._context.new_page()
        self._page.goto(f"{base_url}/review")
        browser.sign_in(self._page, name)
        self._shown = ""

    def next(self) -> tuple[str, str] | None:
        # The page's policy lets no text run as script, so a function of Playwright's own would wait in vain.
        task = f"#task[data-id]:not([hidden], [data-id='{self._shown}'])"
        self._page.locator(f"{task}, #done:not([hidden]):not(:text-matches('^Loading'))").first.wait_for()
        if self._page.is_visible("#done"):
            message = self._page.inner_text("#done")
            self._context.close()
            if "Nothing is left" not in message:
                raise RuntimeError(f"the review page says: {message}")
            return None
        self._shown = self._page.get_attribute("#task", "data-id")
        return self._page.inner_text("#question"), self._page.inner_text("#answer")

    def say(self, said: Said) -> None:
        keys = self._page.keyboard
        if said["verdict"] == "good":
            keys.press("g")
        else:
            keys.press("b")
            categories = ("correctness", "groundedness", "relevance", "safety", "tool_calls")
            keys.press(str(1 + categories.index(said["category"])))
        if correction := said.get("corrected_answer"):
            keys.press("e")
            keys.insert_text(correction)
        keys.press("Control+Enter")


class HttpPage:
    """The page's HTTP API, used without a browser."""

    def __init__(self, base_url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=f"{base_url}/v1/review", headers={"authorization": f"Bearer {token}"}, timeout=60
        )
        self._left: list[str] = [each["task_id"] for each in self._get("/tasks")["tasks"]]
        self._task = ""

    def next(self) -> tuple[str, str] | None:
        if not self._left:
            return None
        self._task = self._left.pop(0)
        task = self._get(f"/tasks/{self._task}")
        return task["question"], task["answer"]

    def say(self, said: Said) -> None:
        self._client.post(f"/tasks/{self._task}/labels", json=dict(said)).raise_for_status()

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(path).raise_for_status().json()
        return found


def _ask_and_complain(visit: Visit) -> None:
    user, question = script().visitor, script().review.unhelpful
    headers = {"authorization": f"Bearer {visit.directory.id_token(user)}"}
    with httpx.Client(base_url=visit.base_url, headers=headers, timeout=60) as client:
        body = {"model": NAME, "messages": [{"role": "user", "content": question}]}
        answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
        rating = {"interaction_id": answer["id"], "rating": "down", "comment": "It does not say."}
        client.post("/v1/feedback", json=rating).raise_for_status()
        bucket, found = visit.outputs["Capture"]["LakeBucketName"], False
    deadline = time.monotonic() + PATIENCE
    while not found and time.monotonic() < deadline:
        visit.settle()
        found = _captured(bucket, answer["id"]) >= 2
        if not found:
            time.sleep(0.3)


def _captured(bucket: str, interaction_id: str) -> int:
    """Return how many records of an interaction, feedback included, are in today's newest objects."""
    s3 = boto3.client("s3")
    after = f"interactions/{partition(earliest_hour(datetime.now(UTC)))}"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="interactions/dt=", StartAfter=after
    )
    newest = sorted(
        (item for page in pages for item in page.get("Contents", [])), key=lambda item: item["LastModified"]
    )[-8:]
    bodies = (s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in newest)
    lines = {line for body in bodies for line in json_lines.split(gzip.decompress(body))}
    return sum(interaction_id.encode() in line for line in lines)


def run_job(visit: Visit, *arguments: str) -> None:
    """Run the job as its schedule would start it. Raises ``JobError``."""
    execution = boto3.client("stepfunctions").start_execution(
        stateMachineArn=visit.outputs["Review"]["StateMachineArn"],
        input=json.dumps({"arguments": list(arguments)}),
    )
    follow(execution["executionArn"])


def lines(bucket: str, key: str) -> list[dict[str, Any]]:
    s3 = boto3.client("s3")
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return []
    return [json.loads(line) for line in json_lines.split(body)]


def _progress(visit: Visit, token: str) -> dict[str, Any]:
    answer = httpx.get(
        f"{visit.base_url}/v1/review/tasks", headers={"authorization": f"Bearer {token}"}, timeout=60
    )
    progress: dict[str, Any] = answer.raise_for_status().json()["progress"]
    return progress


def _metrics() -> dict[str, float]:
    """Return the last value of each of the job's metrics."""
    client, now = boto3.client("cloudwatch"), datetime.now(UTC)
    names = ("BadAnswerRate", "BadAnswerRateLow", "BadAnswerRateHigh", "Labelled")
    known = client.list_metrics(Namespace="FMOps/Review", MetricName=names[0])["Metrics"]
    dimensions: list[Any] = known[0]["Dimensions"] if known else []
    found = {}
    for name in names:
        points = client.get_metric_statistics(
            Namespace="FMOps/Review",
            MetricName=name,
            Dimensions=dimensions,
            StartTime=now.replace(hour=0, minute=0, second=0, microsecond=0),
            EndTime=now.replace(hour=23, minute=59, second=59),
            Period=86_400,
            Statistics=["Maximum"],
        )["Datapoints"]
        if points:
            found[name] = points[-1]["Maximum"]
    return found


def _table_of(tasks: list[dict[str, Any]]) -> Table:
    table = Table(title="Review tasks of today", title_justify="left")
    for column in ("stratum", "interactions", "chosen", "inclusion probability"):
        table.add_column(column, justify="left" if column == "stratum" else "right")
    for stratum, population, sampled in sorted(
        {(task["stratum"], task["population"], task["sampled"]) for task in tasks}
    ):
        table.add_row(stratum, str(population), str(sampled), f"{sampled / population:.2f}")
    return table


def _say(
    visit: Visit,
    section: Section,
    progress: Mapping[str, Any],
    cases: list[dict[str, Any]],
    metrics: Mapping[str, float],
) -> None:
    alpha, people = progress["agreement"], script().review
    agreement = "not known" if alpha is None else f"{alpha:.2f}"
    section.found = f"{progress['settled']} tasks settled, {len(cases)} reviewed evaluation cases"
    section.say(
        f"{progress['settled']} tasks settled by {' and '.join(people.reviewers)},"
        f" disagreements by {people.adjudicator}; agreement (Krippendorff's alpha) {agreement}"
    )
    if "BadAnswerRate" in metrics:
        rate, low, high = (
            100 * metrics[name] for name in ("BadAnswerRate", "BadAnswerRateLow", "BadAnswerRateHigh")
        )
        section.say(
            f"bad answers among all of today, weighted: {rate:.1f} % (95 % interval {low:.1f} to {high:.1f})"
        )
    corrected = sum(bool(each.get("corrected_answer")) for each in cases)
    section.say(f"{len(cases)} reviewed evaluation cases, {corrected} with a corrected answer")
    address = f"{visit.base_url}/review"
    section.say(Text.assemble(f"The review page, as {people.reviewers[0]}: ", (address, f"link {address}")))


def _problems(
    tasks: list[dict[str, Any]],
    progress: Mapping[str, Any],
    cases: list[dict[str, Any]],
    metrics: Mapping[str, float],
) -> Iterator[str]:
    strata = Counter(task["stratum"] for task in tasks)
    if not strata["low_feedback"]:
        yield "review: no task is about the answer that was rated down"
    if not strata["judge_near"] + strata["judge_disagreement"]:
        yield "review: no task was chosen because of a judge's verdict"
    if progress["open"] or progress["disagreed"]:
        yield (
            f"review: {progress['open']} tasks are open and {progress['disagreed']} disputed"
            " after everybody has finished"
        )
    if progress["agreement"] is None:
        yield "review: no agreement was computed"
    if {each["case_id"] for each in cases} != {task["interaction_id"] for task in tasks}:
        yield f"review: {len(tasks)} tasks became {len(cases)} evaluation cases"
    if not any(each.get("corrected_answer") == script().review.correction for each in cases):
        yield "review: the corrected answer is in no evaluation case"
    if "BadAnswerRate" not in metrics:
        yield "review: no rate was estimated"
