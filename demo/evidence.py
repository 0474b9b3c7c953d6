"""Evidence of the tour: one captured record per request, and one trace without content for each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import duckdb

from demo.tour import Step
from fmops.partitions import earliest_hour
from fmops.traces import Trace, TraceReader, TracesUnavailableError, Window

SKEW = timedelta(minutes=15)
"""Maximum difference between this machine's clock and S3's, and how much earlier than its delivery an object's
key may be dated."""


CAPTURED = """
SELECT interaction_id, count(*), any_value(json) FROM (SELECT json, json->>'interaction_id' AS interaction_id FROM
read_ndjson_objects(?) WHERE json->>'record_type' = 'interaction') GROUP BY interaction_id
"""


class Evidence:
    """Reads the data lake with DuckDB and the traces as the assistant does, and says what is missing.

    ``since`` is when the visit began. Records captured before it, which may be a year of other people's
    interactions, are not read.
    """

    def __init__(self, outputs: Mapping[str, Mapping[str, str]], *, since: datetime | None = None) -> None:
        self._bucket = outputs["Capture"]["LakeBucketName"]
        self._since = since - SKEW if since else None
        self._s3 = boto3.client("s3")
        self._reader = TraceReader(boto3.client("xray"))
        self.problems: list[str] = []
        self.objects: list[str] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.segments: dict[str, Sequence[Mapping[str, Any]]] = {}

    def gather(self, steps: Sequence[Step]) -> None:
        """Read everything that belongs to the steps, and compare."""
        answered = [step for step in steps if step.interaction_id]
        captured = self._captured()
        ours = {
            step.interaction_id: captured[step.interaction_id]
            for step in answered
            if step.interaction_id in captured
        }
        self.records = {interaction: record for interaction, (record, _) in ours.items()}
        self.problems += [
            f"{interaction} was captured {count} times"
            for interaction, (_, count) in ours.items()
            if count > 1
        ]
        try:
            traces = self._read_traces([step.trace_id for step in answered])
        except TracesUnavailableError as failure:
            self.problems.append(f"the traces cannot be read: {failure}")
            traces = {}
        self.segments = {trace_id: trace.documents for trace_id, trace in traces.items()}
        for step in answered:
            self._check_record(step)
            self._check_trace(step)

    def complete(self, steps: Sequence[Step]) -> bool:
        """Whether every answered step has its record and its complete trace, including the root."""
        answered = [step for step in steps if step.interaction_id]
        records = self.read_lake()
        if any(step.interaction_id not in records for step in answered):
            return False
        try:
            traces = self._read_traces([step.trace_id for step in answered])
        except TracesUnavailableError:
            return False
        return all(
            step.trace_id in traces
            and _has_root(traces[step.trace_id].documents, records[step.interaction_id]["service"])
            for step in answered
        )

    def read_lake(self) -> dict[str, dict[str, Any]]:
        """Return the captured interactions by id."""
        return {interaction: record for interaction, (record, _) in self._captured().items()}

    def _captured(self) -> dict[str, tuple[dict[str, Any], int]]:
        """Return each record by its interaction's id, with the number of its copies."""
        self.objects = list(self._list())
        with tempfile.TemporaryDirectory() as directory:
            for number, key in enumerate(self.objects):
                self._s3.download_file(self._bucket, key, str(Path(directory) / f"{number}.jsonl.gz"))
            if not self.objects:
                return {}
            lines = duckdb.execute(CAPTURED, [f"{directory}/*.jsonl.gz"]).fetchall()
        return {interaction: (json.loads(record), count) for interaction, count, record in lines}

    def _list(self) -> Iterator[str]:
        for prefix in self._prefixes():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for item in (item for page in pages for item in page.get("Contents", [])):
                if self._since is None or item["LastModified"] >= self._since:
                    yield item["Key"]

    def _prefixes(self) -> Iterator[str]:
        """Return the key prefixes of the days since the visit began."""
        if self._since is None:
            yield "interactions/"
            return
        day = earliest_hour(self._since).date()
        while day <= datetime.now(UTC).date():
            yield f"interactions/dt={day}/"
            day += timedelta(days=1)

    def _read_traces(self, trace_ids: Sequence[str]) -> dict[str, Trace]:
        now = datetime.now(UTC)
        return self._reader.read(trace_ids, Window(self._since or now - timedelta(days=1), now))

    def _check_record(self, step: Step) -> None:
        record = self.records.get(step.interaction_id)
        if record is None:
            step.problems.append("no captured record")
            return
        if record["trace_id"] != step.trace_id:
            step.problems.append("the record names another trace")
        if record["embedding"] is None and record["input"]:
            step.problems.append("the record has no embedding")
        if "4111 1111" in record["input"] + record["output"]:
            step.problems.append("the record holds a card number")
        expected = step.expect.get("decision")
        decided = [
            f"{item['action']} {item['decision']} {item['reason']}" for item in record["authorization"]
        ]
        if expected and expected not in decided:
            step.problems.append(f"authorization {decided}, not {expected}")

    def _check_trace(self, step: Step) -> None:
        documents = self.segments.get(step.trace_id, ())
        service = self.records.get(step.interaction_id, {}).get("service", "")
        if not _has_root(documents, service):
            step.problems.append("there is no trace whose root is named after the service")
        text = json.dumps(list(documents))
        phrases = [step.ask, step.answer] if len(step.answer) > 20 else [step.ask]
        if any(phrase[:40] in text for phrase in phrases):
            step.problems.append("the trace contains what was said")
        expected = step.expect.get("guardrail")
        if expected and not any(expected in told for document in documents for told in _decisions(document)):
            step.problems.append(f"the trace does not mention {expected}")
        ran = any(tool["status"] == "success" for tool in step.tools)
        if ran and not any("execute_tool" in document["name"] for document in documents):
            step.problems.append("the trace has no tool call")


def _decisions(document: Mapping[str, Any]) -> list[str]:
    """Return the guardrail decisions that a segment reports."""
    told: list[str] = document.get("metadata", {}).get("default", {}).get("fmops.guardrail.decisions", [])
    return told


def _has_root(documents: Sequence[Mapping[str, Any]], service: str) -> bool:
    """Whether the trace has the segment that X-Ray's map shows as the service."""
    return any(document["name"] == service for document in documents)
