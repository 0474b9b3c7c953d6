"""One run of a job at a time: a lease in the data lake, taken with S3's conditional writes."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

LEASE = timedelta(minutes=5)
"""Time without a renewal after which a run is taken for dead."""
RENEWALS = 5
"""Number of renewals within a lease."""
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""S3's error codes for a conditional write that came second."""

log = logging.getLogger(__name__)


class TurnTakenError(Exception):
    """Another run of the job is at work; the message says which, and when to try again."""


@contextmanager
def turn(s3: Any, bucket: str, key: str) -> Iterator[None]:
    """Hold the job's turn while the context lasts. Raises ``TurnTakenError`` when another run holds it.

    The turn of a run that died lapses after ``LEASE``, by S3's clock.
    """
    held = _Held(s3, bucket, key)
    stop = threading.Event()
    renewing = threading.Thread(target=held.renew, args=(stop,), name="turn", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        stop.set()
        renewing.join()
        held.release()


class _Held:
    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3, self._bucket, self._key = s3, bucket, key
        self._by = {"host": socket.gethostname(), "process": os.getpid(), "since": _now()}
        condition = self._condition()
        try:
            self._etag = self._write(self._by, condition)
        except ClientError as error:
            if _code(error) not in TAKEN:
                raise
            raise self._taken("another one began at the same moment") from error

    def _condition(self) -> dict[str, str]:
        """Return the condition under which the turn may be taken. Raises ``TurnTakenError``."""
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._key)
        except self._s3.exceptions.NoSuchKey:
            return {"IfNoneMatch": "*"}
        holder = json.loads(found["Body"].read() or b"{}")
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        lapses = found["LastModified"] + LEASE
        if holder and now < lapses:
            raise self._taken(
                f"process {holder.get('process')} on {holder.get('host')}, since {holder.get('since')}; if it "
                f"has died, its turn lapses at {lapses:%H:%M:%S} UTC"
            )
        return {"IfMatch": found["ETag"]}

    def _taken(self, who: str) -> TurnTakenError:
        return TurnTakenError(
            f"another run of this job is at work ({who}), so nothing was done. Wait until it has ended, then "
            "run this again."
        )

    def _write(self, holder: dict[str, Any], condition: dict[str, str]) -> str:
        answer = self._s3.put_object(
            Bucket=self._bucket,
            Key=self._key,
            Body=json.dumps(holder).encode(),
            ContentType="application/json",
            **condition,
        )
        return str(answer["ETag"])

    def renew(self, stop: threading.Event) -> None:
        """Renew the turn at intervals, until the run ends or another run has taken over."""
        while not stop.wait(LEASE.total_seconds() / RENEWALS):
            try:
                self._etag = self._write({**self._by, "renewed": _now()}, {"IfMatch": self._etag})
            except (BotoCoreError, ClientError) as error:
                log.error("the turn %s was not renewed: %s", self._key, _code(error))
                if _code(error) in TAKEN:
                    return

    def release(self) -> None:
        """Leave an empty holder, unless another run has taken over; a turn that cannot be released lapses."""
        try:
            self._write({}, {"IfMatch": self._etag})
        except (BotoCoreError, ClientError) as error:
            log.error("the turn %s was not released, and lapses by itself: %s", self._key, _code(error))


def _code(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
