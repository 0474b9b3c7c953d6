"""Documents: a PDF is dropped while the assistant serves, answers cite it, and it is removed again.

A customer tries to reach what is only for staff, by questions in a hundred wordings and by links.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx
from rich.table import Table

from demo.script import script
from demo.visit import Outputs, Visit
from fmops.agent import KNOWLEDGE, NAME
from fmops.deployment import Deployment
from fmops.documents import DocumentFile, read
from fmops.documents.publishing import plan, publish
from local.run.report import Section
from ops.publish import Knowledge

FOLDER = Path(__file__).parent / "documents"
PATIENCE = 60
"""Maximum seconds from a change in the bucket to answers that know it, in the local AWS."""
PATIENCE_IN_AWS = 600
"""The same in an account, where an ingestion takes minutes."""
BETWEEN_LOOKS = 0.5
"""Seconds between two questions while the document is indexed or forgotten."""
AT_ONCE = 4
"""Tries of the customer at the same time: fewer than one person's limit of turns."""
ATTEMPTS, LONGEST_PAUSE = 5, 20.0
"""Attempts to ask a busy assistant, and seconds between two of them at most."""
TRIES = 100
SEARCHED = 0.8
"""Least share of the tries that must find documents, though others."""


def seed(outputs: Outputs) -> str:
    """Publish the agent's documents beside those that are there, and return the id of the ingestion's job; empty if
    they are in the image."""
    if "Knowledge" not in outputs:
        return ""
    knowledge = _knowledge(outputs)
    planned = plan(read(KNOWLEDGE), knowledge.s3, knowledge.bucket)
    # What other people have published stays.
    publish(replace(planned, removed=[]), knowledge.s3, knowledge.bucket)
    return knowledge.ingest()


def wait(outputs: Outputs, job: str) -> None:
    """Wait until the documents of a job can be found. Raises ``PublishError`` if some cannot."""
    if job:
        _knowledge(outputs).follow(job)


def chapter(visit: Visit, section: Section) -> list[str]:
    """Go through the chapter and return the expectations that did not hold."""
    if "Knowledge" not in visit.outputs:
        section.found = "they are in the image: knowledge.documents is packaged"
        return []
    documents = _Documents(visit, section)
    with documents.dropped() as (file, seconds):
        documents.cite(file, seconds)
        documents.hide()
    documents.forget(file)
    section.table(documents.table)
    return documents.problems


class _Documents:
    """The chapter's calls, and what came of them."""

    def __init__(self, visit: Visit, section: Section) -> None:
        self._visit, self._section = visit, section
        self._said = script().documents
        self._knowledge = _knowledge(visit.outputs)
        self._patience = PATIENCE if visit.logs else PATIENCE_IN_AWS
        token = visit.directory.id_token(script().visitor)
        self._client = httpx.Client(
            base_url=f"{visit.base_url}/v1", headers={"authorization": f"Bearer {token}"}, timeout=90
        )
        self.problems: list[str] = []
        self.table = Table(title="Documents")
        for column in ("what", "outcome"):
            self.table.add_column(column)

    @contextmanager
    def dropped(self) -> Iterator[tuple[DocumentFile, float]]:
        """Put the PDF into the bucket, and yield it with the seconds until an answer knows it. It is removed in the
        end, whatever happens."""
        (file,) = read(FOLDER)
        s3, bucket = self._knowledge.s3, self._knowledge.bucket
        try:
            s3.put_object(
                Bucket=bucket, Key=file.sidecar_key, Body=file.sidecar(), ContentType="application/json"
            )
            s3.put_object(Bucket=bucket, Key=file.key, Body=file.body(), ContentType=file.content_type)
            self._visit.progress.tell(f"documents: waiting until answers know {file.source}")
            yield file, self._until(lambda: self._cites(file))
        finally:
            s3.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in (file.key, file.sidecar_key)]}
            )

    def cite(self, file: DocumentFile, seconds: float) -> None:
        """Look at the answer that cites the document, and open the citation."""
        self._expect(seconds <= self._patience, f"no answer cites {file.source} after {self._patience} s")
        self._section.found = f"{file.source} is cited {seconds:.0f} s after it was dropped"
        answer = self._ask(self._said.ask)
        text, links = answer["choices"][0]["message"]["content"], _links(answer)
        self._row(f"“{self._said.ask}” {seconds:.0f} s after {file.source} was dropped", text)
        self._expect(self._said.says in text, f"the answer about {file.source} lacks {self._said.says!r}")
        cited = next((link for link in links if f"page={self._said.page}" in link), "")
        self._expect(bool(cited), f"no citation leads to page {self._said.page}: {links}")
        if cited:
            passage = self._client.get(cited.removeprefix("/v1")).raise_for_status().json()
            self._row(f"its citation, {cited}", passage["text"])
            self._expect(self._said.says in passage["text"], f"{cited} does not show {self._said.says!r}")

    def hide(self) -> None:
        """Let the customer try to reach the documents for staff."""
        asked = [form.format(subject) for subject in self._said.subjects for form in self._said.wordings]
        tries = list(itertools.islice(itertools.cycle(asked), TRIES))
        done = itertools.count(1)

        def attempt(question: str) -> tuple[bool, bool]:
            answer = self._ask(question)
            self._visit.progress.tell(f"documents: {next(done)} of {len(tries)} tries at what is for staff")
            shown = {each["document_id"] for each in answer["sources"]}
            text = answer["choices"][0]["message"]["content"]
            reached = shown & set(self._said.hidden) or any(each in text for each in self._said.secrets)
            return bool(reached), bool(shown)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            came = list(pool.map(attempt, tries))
        reached = [question for question, (found, _) in zip(tries, came, strict=True) if found]
        searched = sum(searched for _, searched in came)
        self._expect(not reached, f"{len(reached)} tries reached what is for staff, such as {reached[:1]}")
        # Tries that a guardrail or a budget stops before the search would say nothing about it.
        self._expect(
            searched >= SEARCHED * len(tries), f"only {searched} of {len(tries)} tries found any document"
        )
        statuses = {name: self._client.get(f"/documents/{name}").status_code for name in self._said.hidden}
        self._expect(set(statuses.values()) == {404}, f"links to documents for staff answer {statuses}")
        self._row(
            f"{len(tries)} tries of {script().visitor} at documents for staff",
            f"{searched} found other documents, {len(reached)} reached one for staff",
        )
        self._row(
            f"{len(statuses)} links to them", ", ".join(f"{each} {statuses[each]}" for each in statuses)
        )

    def forget(self, file: DocumentFile) -> None:
        """Wait until the removed document is gone from answers and cannot be opened."""
        self._visit.progress.tell(f"documents: waiting until answers have forgotten {file.source}")
        seconds = self._until(lambda: not self._cites(file))
        self._expect(seconds <= self._patience, f"answers still cite {file.source} {self._patience} s later")
        status = self._client.get(f"/documents/{file.id}").status_code
        self._expect(status == 404, f"the removed document {file.id} answers {status}")
        self._row("seconds until answers have forgotten it, after it was removed", f"{seconds:.0f}")
        self._section.found = f"{self._section.found}, forgotten {seconds:.0f} s after it was removed"

    def _cites(self, file: DocumentFile) -> bool:
        return file.id in {each["document_id"] for each in self._ask(self._said.ask)["sources"]}

    def _ask(self, question: str) -> dict[str, Any]:
        return ask(self._client, question)

    def _until(self, holds: Callable[[], bool]) -> float:
        """Return the seconds until it holds, or infinity once patience ends."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > self._patience:
                return float("inf")
            time.sleep(BETWEEN_LOOKS)
        return time.monotonic() - began

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(f"documents: {problem}")

    def _row(self, what: str, outcome: str) -> None:
        self.table.add_row(what, outcome)


def ask(client: httpx.Client, question: str) -> dict[str, Any]:
    """Return the assistant's answer. One that is busy is asked again when it says so, as OpenAI's clients do."""
    body = {"model": NAME, "messages": [{"role": "user", "content": question}]}
    for attempt in range(1, ATTEMPTS + 1):
        answer = client.post("/chat/completions", json=body)
        pause = answer.headers.get("retry-after") if answer.status_code in (429, 503) else None
        if pause is None or attempt == ATTEMPTS:
            break
        time.sleep(min(float(pause), LONGEST_PAUSE))
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _links(answer: dict[str, Any]) -> list[str]:
    message = answer["choices"][0]["message"]
    return [each["url_citation"]["url"] for each in message.get("annotations") or ()]


def _knowledge(outputs: Outputs) -> Knowledge:
    return Knowledge(Deployment("", outputs=outputs), boto3.Session(), say=lambda _: None)
