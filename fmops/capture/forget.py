"""Deletion of one user's records from the data lake, for privacy requests: find, rewrite, and check again.

The lake is versioned, so a rewritten object leaves its old version behind. Old versions are therefore deleted
for good too.

Records that wait in a task's spool or in Firehose arrive later. Each request therefore leaves a note in the
lake of the user and the time: readers leave out and report whatever began before it, and it is deleted when the
requests are applied again.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmops import json_lines
from fmops.turn import TAKEN

INTERACTION_ID = re.compile(rb"int-[0-9a-f]{32}")
RECORDS = "interactions"
OF_LINES = (".jsonl", ".jsonl.gz", ".manifest")
"""Prefixes and suffixes of keys whose objects hold one record per line."""
SHORTEST_QUOTE = 16
Concerns = Callable[[str, bytes], bool]
"""A function that says whether a line of the object with this key concerns the user."""
GONE = ("NoSuchKey", "NoSuchVersion")
ATTEMPTS = 20
"""Maximum attempts to note a request while others note theirs."""
GZIP = b"\x1f\x8b"


REQUESTS = "privacy/requests.jsonl"
"""Key in the lake of the requests: a line each, with pseudonym and time. It must outlive the records that it
concerns."""


def note(s3: Any, bucket: str, user: str, moment: str) -> None:
    """Record that everything ``user`` did before ``moment`` (ISO 8601, UTC) is to be forgotten."""
    for _ in range(ATTEMPTS):
        known, condition = _requests(s3, bucket)
        known |= {user: moment}
        lines = (
            json.dumps({"user": each, "before": before}) + "\n" for each, before in sorted(known.items())
        )
        try:
            s3.put_object(Bucket=bucket, Key=REQUESTS, Body="".join(lines).encode(), **condition)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in TAKEN:
                raise
        else:
            return
    raise RuntimeError(f"s3://{bucket}/{REQUESTS} was changed by others during each attempt: run this again")


def requests(s3: Any, bucket: str) -> dict[str, str]:
    """Return, by pseudonym, the time before which everything is to be forgotten."""
    return _requests(s3, bucket)[0]


def _requests(s3: Any, bucket: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the requests, and the condition for replacing their object: that it has not changed since."""
    try:
        found = s3.get_object(Bucket=bucket, Key=REQUESTS)
    except s3.exceptions.NoSuchKey:
        return {}, {"IfNoneMatch": "*"}
    lines = map(json.loads, json_lines.split(found["Body"].read()))
    return {line["user"]: line["before"] for line in lines}, {"IfMatch": found["ETag"]}


@dataclass
class Forgotten:
    """The results of a request, by key prefix."""

    interactions: set[str] = field(default_factory=set)
    """Ids of the user's interactions."""
    traces: set[str] = field(default_factory=set)
    """OpenTelemetry's ids of their traces."""
    lines: Counter[str] = field(default_factory=Counter)
    """Number of lines removed from current objects."""
    objects: Counter[str] = field(default_factory=Counter)
    """Number of objects that were rewritten, or deleted because nothing was left of them."""
    versions: Counter[str] = field(default_factory=Counter)
    """Number of old versions deleted because they held the user's records."""
    left: list[str] = field(default_factory=list)
    """Keys that still mention the user afterwards; unless this is empty, someone has to investigate."""


@dataclass(frozen=True)
class Version:
    """One version of one object."""

    key: str
    id: str
    current: bool


def forget(
    s3: Any,
    bucket: str,
    user: str,
    prefixes: Sequence[str],
    *,
    before: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Forgotten:
    """Remove every line of the pseudonym ``user``, and every line about one of their interactions.

    ``prefixes`` are those of the lake that hold records or data derived from them. Objects of JSON lines,
    gzipped or not, are rewritten. Any other object that names the user or an interaction is deleted as a whole,
    and so is one that quotes a question of theirs, as reports do without saying whose it is. ``before`` keeps
    what the user did from that time on.
    """
    result = Forgotten()
    quotes: set[bytes] = set()
    for prefix in prefixes:
        progress(f"looking for the user's interactions under {prefix}")
        for _, data in _objects(s3, bucket, prefix):
            for record in filter(None, (_owned(line, user, before) for line in _lines(data))):
                result.interactions.add(str(record["interaction_id"]))
                result.traces |= {str(record["trace_id"])} if record.get("trace_id") else set()
                quotes |= _quotes(str(record.get("input", "")))
    concerns = _matcher(user, result.interactions, quotes, before)
    for prefix in prefixes:
        progress(f"rewriting under {prefix}")
        for version, data in _objects(s3, bucket, prefix):
            if version.current and _any(concerns, version.key, data):
                _rewrite(s3, bucket, version, data, concerns, prefix, result)
        # Searched after the rewriting, so that the versions it has made old are included.
        for version, data in _objects(s3, bucket, prefix):
            if not version.current and _any(concerns, version.key, data):
                s3.delete_object(Bucket=bucket, Key=version.key, VersionId=version.id)
                result.versions[prefix] += 1
    progress("looking again")
    for prefix in prefixes:
        result.left += [
            version.key for version, data in _objects(s3, bucket, prefix) if _any(concerns, version.key, data)
        ]
    return result


def _owned(line: bytes, user: str, before: str | None) -> dict[str, Any] | None:
    """Return the record of an interaction on a line if it is this user's. Their feedback may concern another
    user's interaction."""
    record = _of(line, user, before)
    return (
        record if record and record.get("record_type") != "feedback" and "interaction_id" in record else None
    )


def _of(line: bytes, user: str, before: str | None) -> dict[str, Any] | None:
    """Return the record on a line if it is this user's and began before the given time."""
    if user.encode() not in line:
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("user") != user:
        return None
    return record if before is None or str(record.get("started_at", before)) < before else None


def _quotes(question: str) -> set[bytes]:
    """Return a question's forms in HTML and in JSON. A short question does not identify its author, so it has
    none."""
    if len(question) < SHORTEST_QUOTE:
        return set()
    return {text.encode() for text in (question, html.escape(question), json.dumps(question)[1:-1])}


def _matcher(user: str, interactions: set[str], quotes: set[bytes], before: str | None) -> Concerns:
    name, ids = user.encode(), {each.encode() for each in interactions}

    def concerns(key: str, line: bytes) -> bool:
        if any(found in ids for found in INTERACTION_ID.findall(line)):
            return True
        if name in line and (before is None or _of(line, user, before) is not None):
            return True
        # In files of records, another user's record may hold the same question.
        return not _is_of_lines(key) and any(quote in line for quote in quotes)

    return concerns


def _is_of_lines(key: str) -> bool:
    return key.startswith(RECORDS) or key.endswith(OF_LINES)


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[Version, bytes]]:
    """Yield every version of every object under the prefix, with its content. Delete markers have none."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Versions", []):
            version = Version(item["Key"], item["VersionId"], item["IsLatest"])
            try:
                body = s3.get_object(Bucket=bucket, Key=version.key, VersionId=version.id)["Body"].read()
            except s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in GONE:
                    raise
                continue  # it expired, or another request deleted it first: there is nothing left to forget
            yield version, body


def _any(concerns: Concerns, key: str, data: bytes) -> bool:
    return any(concerns(key, line) for line in _lines(data))


def _lines(data: bytes) -> list[bytes]:
    """Return the lines of an object as they are searched; records that Firehose could not deliver are decoded
    from base64."""
    try:
        text = gzip.decompress(data) if data.startswith(GZIP) else data
    except (OSError, EOFError):
        text = data
    return [_opened(line) for line in json_lines.split(text, keepends=True)]


def _opened(line: bytes) -> bytes:
    if b'"rawData"' not in line:
        return line
    try:
        return base64.b64decode(json.loads(line)["rawData"])
    except (ValueError, KeyError, TypeError):
        return line


def _rewrite(
    s3: Any,
    bucket: str,
    version: Version,
    data: bytes,
    concerns: Concerns,
    prefix: str,
    result: Forgotten,
) -> None:
    """Replace the object with one without the lines that concern the user, or delete it."""
    packed = data.startswith(GZIP)
    text = gzip.decompress(data) if packed else data
    lines = json_lines.split(text, keepends=True)
    kept = [line for line in lines if not concerns(version.key, _opened(line))]
    result.lines[prefix] += len(lines) - len(kept)
    result.objects[prefix] += 1
    if kept and _is_of_lines(version.key):
        rest = b"".join(kept)
        s3.put_object(Bucket=bucket, Key=version.key, Body=gzip.compress(rest) if packed else rest)
    else:
        s3.delete_object(Bucket=bucket, Key=version.key)
