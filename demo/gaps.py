"""Gaps: an editor has a document drafted for what no document answers, corrects and publishes it, and answers know it.

The text of the person stands in the script; the gap, the draft, the ingestion and the answer are real.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx
from rich.table import Table

from demo.documents import BETWEEN_LOOKS, PATIENCE, PATIENCE_IN_AWS, ask
from demo.script import script
from demo.visit import Outputs, Visit
from local.run.report import Section

COMES_BACK = 120
"""Further seconds, in case the document meets an ingestion under way and comes back (docs/knowledge.md)."""
BETWEEN_STARTS = 10
"""Seconds between two starts of an ingestion (Bedrock's quota of StartIngestionJob)."""


def chapter(visit: Visit, section: Section) -> list[str]:
    """Close the gap of the script and return the expectations that did not hold."""
    if "Knowledge" not in visit.outputs:
        section.found = "there are none: the documents are in the image (knowledge.documents is packaged)"
        return []
    if not visit.history:
        section.found = "left out: a made-up document is only for a deployment without real traffic"
        return []
    return _Gaps(visit, section).close()


class _Gaps:
    """The chapter's calls, as the editor and as the visitor."""

    def __init__(self, visit: Visit, section: Section) -> None:
        self._visit, self._section, self._said = visit, section, script().gaps
        self._patience = (PATIENCE if visit.logs else PATIENCE_IN_AWS) + COMES_BACK
        self._editor = self._client(self._said.editor)
        self._visitor = self._client(script().visitor)

    def close(self) -> list[str]:
        gaps = self._call("GET", "/gaps")["gaps"]
        if not gaps:
            return ["gaps: the history ends with a topic that no document covers, but the report has no gap"]
        gap = next((each for each in gaps if self._is_meant(each)), gaps[0])
        draft = self._draft(gap)
        if draft["state"] == "published":
            self._section.found = f"{draft['document_id']} was published before"
            return []
        drafted = draft["text"]
        published = self._publish(draft)
        seconds, answer = self._answered(published["document_id"])
        self._section.table(_table(gap, drafted, published, self._said.ask, answer))
        self._section.found = (
            f"{len(gaps)} in the report; {published['document_id']} answers “{self._said.ask}”"
            f" {seconds:.0f} s after it was published"
        )
        return self._problems(published, seconds, answer)

    def _is_meant(self, gap: dict[str, Any]) -> bool:
        return any(self._said.about in question for question in gap["questions"])

    def _draft(self, gap: dict[str, Any]) -> dict[str, Any]:
        """Return the gap's draft, or a new one."""
        known = gap["draft"]
        if known and known["state"] != "discarded":
            return self._call("GET", f"/drafts/{known['id']}")
        self._visit.progress.tell("gaps: the model drafts a document")
        return self._call("POST", f"/gaps/{gap['id']}/drafts")

    def _publish(self, draft: dict[str, Any]) -> dict[str, Any]:
        """Write the person's text over the draft, and publish it."""
        path = f"/drafts/{draft['id']}"
        if draft["state"] == "draft":
            body = {
                "title": self._said.title,
                "text": self._said.text,
                "classification": "public",
                "version": draft["version"],
            }
            draft = self._call("PUT", path, body)
        calm(self._visit.outputs)
        return self._call("POST", f"{path}/publication", {"version": draft["version"]})

    def _answered(self, document_id: str) -> tuple[float, str]:
        """Ask until an answer rests on the document; return the seconds, or infinity, and the last answer."""
        began = time.monotonic()
        self._visit.progress.tell(f"gaps: waiting until answers know {document_id}")
        while True:
            answer = ask(self._visitor, self._said.ask)
            text = str(answer["choices"][0]["message"]["content"])
            seconds = time.monotonic() - began
            if document_id in {each["document_id"] for each in answer["sources"]}:
                return seconds, text
            if seconds > self._patience:
                return float("inf"), text
            time.sleep(BETWEEN_LOOKS)

    def _problems(self, published: dict[str, Any], seconds: float, answer: str) -> list[str]:
        problems = []
        if seconds > self._patience:
            problems.append(f"gaps: no answer rests on {published['document_id']} after {self._patience} s")
        elif self._said.says not in answer:
            problems.append(f"gaps: the answer to “{self._said.ask}” lacks {self._said.says!r}")
        if published["cases"] != len(published["questions"]):
            problems.append(
                f"gaps: {len(published['questions'])} questions became {published['cases']} evaluation cases"
            )
        return problems

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._editor.request(method, path, json=body).raise_for_status().json()
        return found

    def _client(self, name: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._visit.directory.id_token(name)}"}
        return httpx.Client(base_url=f"{self._visit.base_url}/v1", headers=headers, timeout=90)


def calm(outputs: Outputs) -> None:
    """Wait until another ingestion may start, after that of the chapter before."""
    source = {
        "knowledgeBaseId": outputs["Knowledge"]["KnowledgeBaseId"],
        "dataSourceId": outputs["Knowledge"]["DataSourceId"],
    }
    jobs = boto3.client("bedrock-agent").list_ingestion_jobs(
        **source, sortBy={"attribute": "STARTED_AT", "order": "DESCENDING"}, maxResults=1
    )["ingestionJobSummaries"]
    for job in jobs:
        since = (datetime.now(UTC) - job["startedAt"]).total_seconds()
        time.sleep(max(0.0, BETWEEN_STARTS - since))


def _table(gap: dict[str, Any], drafted: str, published: dict[str, Any], ask: str, answer: str) -> Table:
    table = Table(title="A gap closes")
    for column in ("what", "outcome"):
        table.add_column(column)
    table.add_row(f"questions of the gap, {100 * gap['share']:.0f} % of all", "\n".join(gap["questions"]))
    table.add_row("the model's draft", drafted)
    table.add_row(f"what the editor published as {published['document_id']}", published["text"])
    table.add_row(f"“{ask}”", answer)
    table.add_row("evaluation cases of its questions", str(published["cases"]))
    return table
