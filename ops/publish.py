"""``python -m ops.publish --from guides``: publish a folder of documents to the knowledge base, and wait until they are
indexed; or withdraw one from every answer at once.

It works with the operator's AWS credentials on the stacks of one environment.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from fmops.agent import KNOWLEDGE
from fmops.deployment import Deployment, DeploymentError, explained
from fmops.documents import PREFIX, DocumentFile, DocumentsError, read
from fmops.documents.publishing import Plan, PublishingError, plan, publish
from fmops.documents.sidecar import SUFFIX
from fmops.parallel import PATIENT
from fmops.toolkit.record_table import DOCUMENT

STACK = "Knowledge"
MANIFESTS = "knowledge/manifests/"
"""Prefix, in the lake, of what each ingestion writes when it has ended."""
INDEXED = "INDEXED"
ENDED = ("COMPLETE", "FAILED", "STOPPED")
LOOK_SECONDS, LOOK_GROWTH, LONGEST_SECONDS = 0.25, 1.1, 15.0
"""Seconds until an ingestion is looked at, and by what they grow: its end is noticed within a tenth of its duration."""
TELL_SECONDS = 2.0
"""Seconds between two lines about long work."""
MANIFEST_SECONDS = 600.0
"""Seconds after a job's end within which its manifest must be there: the function looks at intervals."""
CONFLICT_SECONDS = 3600.0
"""Seconds for which another ingestion may stand before ours: a knowledge base runs one at a time."""
SHOWN = 20
"""Number of changes that a dry run lists."""


class PublishError(Exception):
    """Documents could not be published or indexed; the message says what to do."""


class Knowledge:
    """The knowledge base of a deployment, with the operator's credentials."""

    def __init__(
        self, deployment: Deployment, session: Any, say: Callable[[str], None] | None = None
    ) -> None:
        """``say`` takes lines about long work, which are printed by default. Raises ``DeploymentError`` for a
        deployment without a knowledge base."""
        self._say = say or _say
        try:
            self._outputs = deployment.outputs(STACK)
        except DeploymentError as error:
            deployment.outputs("Assistant")  # says so if nothing at all is deployed
            remedy = 'set knowledge.documents to "knowledge_base" and deploy'
            raise DeploymentError(f"{deployment.name} has its documents in its image: {remedy}.") from error
        self._lake = deployment.output("Capture", "LakeBucketName")
        self.bucket = self._outputs["DocumentsBucketName"]
        self.s3 = session.client("s3", config=PATIENT)
        self._functions = session.client("lambda", config=PATIENT)
        self._jobs = session.client("bedrock-agent", config=PATIENT)

    def ids(self) -> list[str]:
        """Return the ids of the documents that are published."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=PREFIX)
        keys = (each["Key"] for page in pages for each in page.get("Contents", ()))
        return [os.path.splitext(key.removeprefix(PREFIX))[0] for key in keys if not key.endswith(SUFFIX)]  # noqa: PTH122

    def ingest(self) -> str:
        """Start an ingestion and return its job's id. Raises ``PublishError``."""
        for waited in _looks(CONFLICT_SECONDS):
            answer = self._functions.invoke(
                FunctionName=self._outputs["IngestionFunctionName"], Payload=json.dumps({"action": "ingest"})
            )
            said: dict[str, Any] = json.loads(answer["Payload"].read() or "{}")
            if answer.get("FunctionError"):
                kind = said.get("errorType", answer["FunctionError"])
                raise PublishError(
                    f"The ingestion function failed ({kind}): see its log, then publish again."
                )
            if job := said.get("job"):
                return str(job)
            self._say(f"Another ingestion is running; ours follows it ({waited:.0f} s).")
        raise PublishError("Another ingestion has been running for an hour: publish again when it has ended.")

    def follow(self, job: str) -> dict[str, Any]:
        """Wait for a job's manifest and return it, telling how far the job is. Raises ``PublishError``."""
        since = datetime.now(UTC) - timedelta(hours=1)
        told, ended_at = "", None
        for _ in _looks():
            if (found := self.manifest(job, since)) is not None:
                return found
            status, line = self._progress(job)
            if line != told:
                told = line
                self._say(line)
            if status in ENDED:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > MANIFEST_SECONDS:
                    break
        raise PublishError(
            f"The job {job} has ended, but its manifest is not in the lake: see the log of the function"
            f" {self._outputs['IngestionFunctionName']}."
        )

    def manifest(self, job: str = "", since: datetime | None = None) -> dict[str, Any] | None:
        """Return the manifest of a job, or the newest one; None if there is none since a time."""
        after = {"StartAfter": f"{MANIFESTS}{since:%Y%m%dT%H%M%SZ}"} if since else {}
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._lake, Prefix=MANIFESTS, **after
        )
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        fitting = [key for key in keys if key.endswith(f"{job}.json")]
        if not fitting:
            return None
        body = self.s3.get_object(Bucket=self._lake, Key=max(fitting))["Body"].read()
        found: dict[str, Any] = json.loads(body)
        return found

    def _progress(self, job: str) -> tuple[str, str]:
        """Return a job's status, and a line that says how far it is."""
        found = self._jobs.get_ingestion_job(
            knowledgeBaseId=self._outputs["KnowledgeBaseId"],
            dataSourceId=self._outputs["DataSourceId"],
            ingestionJobId=job,
        )["ingestionJob"]
        counted = found.get("statistics", {})
        indexed = counted.get("numberOfNewDocumentsIndexed", 0)
        indexed += counted.get("numberOfModifiedDocumentsIndexed", 0)
        line = f"Indexing: {counted.get('numberOfDocumentsScanned', 0)} scanned, {indexed} indexed"
        return str(found["status"]), f"{line} ({found['status'].lower().replace('_', ' ')})"


def publish_folder(knowledge: Knowledge, folder: Path, *, dry_run: bool = False) -> int:
    """Publish a folder, wait until it is indexed, and print what was; return 1 for a problem."""
    files = read(folder)
    _say(f"{len(files)} documents in {folder}; comparing them with the bucket.")
    planned = plan(files, knowledge.s3, knowledge.bucket, _Progress("compared"))
    _tell(planned)
    if dry_run:
        _list(planned)
        return 0
    if planned.changes or planned.removed:
        publish(planned, knowledge.s3, knowledge.bucket, tell=_Progress("written"))
    elif (last := knowledge.manifest()) is not None and _covers(last, files):
        _say("Nothing has changed since the last ingestion.")
        return report(last)
    return report(knowledge.follow(knowledge.ingest()))


def report(manifest: Mapping[str, Any]) -> int:
    """Print what is indexed, and every problem with its file and remedy; return 1 for a problem."""
    documents: Sequence[Mapping[str, Any]] = manifest["documents"]
    indexed = [each for each in documents if each["status"] == INDEXED]
    passages = sum(int(each["chunks"]) for each in indexed)
    _say(f"{len(indexed)} documents are in the index, in {passages} passages ({manifest['status']}).")
    problems = {each["key"]: str(each["reason"]) for each in manifest["problems"]}
    for each in documents:
        if each["status"] != INDEXED:
            problems.setdefault(each["key"], f"its status is {each['status']}")
    if manifest["status"] != "COMPLETE" and not problems:
        problems[""] = " ".join([f"the job ended as {manifest['status']}", *manifest["failure_reasons"]])
    for key, reason in problems.items():
        remedy = "correct the file, and publish the folder again" if key else "publish the folder again"
        _say(f"✗ {_file(key) or 'The ingestion'}: {reason.rstrip('.')}. Remedy: {remedy}.")
    return int(bool(problems))


def set_withdrawn(table: Any, name: str, document_id: str, *, withdrawn: bool) -> None:
    """Say in the system of record whether a document is withdrawn; every later answer heeds it."""
    table.update_item(
        TableName=name,
        Key={"kind": {"S": DOCUMENT}, "id": {"S": document_id}},
        UpdateExpression="SET withdrawn = :withdrawn",
        ExpressionAttributeValues={":withdrawn": {"BOOL": withdrawn}},
    )


def withdraw(deployment: Deployment, session: Any, document_id: str, *, withdrawn: bool) -> int:
    """Withdraw a document, or restore it. Raises ``PublishError`` for one that is not there."""
    wanted = unicodedata.normalize("NFC", document_id)
    try:
        known = Knowledge(deployment, session).ids()
    except DeploymentError:
        known = [each.id for each in read(KNOWLEDGE)]
    if wanted not in known and withdrawn:
        close = difflib.get_close_matches(wanted, known, 3) or sorted(known)[:3]
        raise PublishError(f"There is no document {wanted!r}: use an id such as {', '.join(close)}.")
    table = deployment.output("Assistant", "RecordsTableName")
    set_withdrawn(session.client("dynamodb"), table, wanted, withdrawn=withdrawn)
    if withdrawn:
        _say(
            f"{wanted} is withdrawn: no answer is made from it, and its page is closed. RESTORE={wanted} undoes it."
        )
    else:
        _say(f"{wanted} is restored: those whom the policies permit may read it again.")
    return 0


def _covers(manifest: Mapping[str, Any], files: Sequence[DocumentFile]) -> bool:
    """Return whether an ingestion has seen all of these documents, indexed or not."""
    seen = {each["key"] for each in (*manifest["documents"], *manifest["problems"])}
    return {each.key for each in files} <= seen


def _tell(planned: Plan) -> None:
    new = sum(each.new for each in planned.changes)
    _say(
        f"{new} new, {len(planned.changes) - new} changed, {len(planned.documents_removed)} removed,"
        f" {planned.unchanged} unchanged."
    )


def _list(planned: Plan) -> None:
    lines = [f"{'+' if each.new else '~'} {each.file.source}" for each in planned.changes]
    lines += [f"- {_file(key)}" for key in planned.documents_removed]
    for line in lines[:SHOWN]:
        _say(line)
    if len(lines) > SHOWN:
        _say(f"… and {len(lines) - SHOWN} more")
    _say("Nothing was written: this is a dry run.")


def _file(key: str) -> str:
    return str(key).removeprefix(PREFIX)


def _looks(seconds: float = float("inf")) -> Any:
    """Yield the seconds that have passed, at growing intervals, until ``seconds`` are over."""
    began, pause = time.monotonic(), LOOK_SECONDS
    while (passed := time.monotonic() - began) < seconds:
        yield passed
        time.sleep(pause)
        pause = min(pause * LOOK_GROWTH, LONGEST_SECONDS)


class _Progress:
    """A line about long work every two seconds, and one at its end."""

    def __init__(self, done: str) -> None:
        self._word = done
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= TELL_SECONDS or (done == total and total > SHOWN):
            self._last = now
            _say(f"{done} of {total} {self._word}")


def _say(message: str) -> None:
    print(message, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.publish", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--from", dest="folder", type=Path, help="folder of documents to publish")
    what.add_argument("--withdraw", metavar="ID", help="take a document out of every answer, at once")
    what.add_argument("--restore", metavar="ID", help="undo the withdrawal of a document")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    return parser


def main(arguments: Sequence[str] | None = None, session: Any = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        session = session or boto3.Session()
        deployment = Deployment(options.environment, session=session)
        if options.folder is None:
            chosen = options.withdraw or options.restore
            return withdraw(deployment, session, chosen, withdrawn=bool(options.withdraw))
        return publish_folder(Knowledge(deployment, session), options.folder, dry_run=options.dry_run)
    except DocumentsError as error:
        for each in error.refusals:
            print(f"✗ {each}", file=sys.stderr)
        print(f"Nothing was published: {len(error.refusals)} refused.", file=sys.stderr)
    except (DeploymentError, PublishError, PublishingError) as error:
        print(error, file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(explained(error), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
