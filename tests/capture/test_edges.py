"""No record is lost at the edge of a day or an hour: Firehose files it under the arrival of an older one,
and readers look there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from constructs.interaction_stream import InteractionStream

from fmops.analysis.lake import Reader, S3Lake, Window, windows
from fmops.interaction import Embedding, Interaction
from fmops.jobs import analyse, review
from fmops.partitions import LONGEST_BUFFER
from fmops.review.sampling import SamplingSettings
from local.aws.kernel.cloud import Cloud
from local.aws.services.firehose import DeliveryStreams
from settings.capture import Capture

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
# Not a multiple of a buffer before the edge, so that an object spans it.
BEGIN, END = MIDNIGHT - timedelta(hours=1, minutes=23), MIDNIGHT + timedelta(hours=1, minutes=20)
EMBEDDING = Embedding.encode("m", [1.0, 0.5])
LONGEST = int(LONGEST_BUFFER.total_seconds())


def moments() -> Iterator[datetime]:
    """One a second."""
    for second in range(int((END - BEGIN).total_seconds())):
        yield BEGIN + timedelta(seconds=second)


def name(moment: datetime) -> str:
    return moment.strftime("int-%Y%m%dT%H%M%S")


def deliver(cloud: Cloud, bucket: str, buffer_seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a record each second, a second after its turn began, and write an object each time that the buffer
    is old enough.
    """
    cloud.client("s3").create_bucket(Bucket=bucket)
    role = cloud.client("iam").create_role(RoleName=bucket, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    cloud.client("firehose").create_delivery_stream(
        DeliveryStreamName=bucket,
        ExtendedS3DestinationConfiguration={
            "RoleARN": role,
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": "interactions/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/",
            "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
            "CompressionFormat": "GZIP",
            "BufferingHints": {"SizeInMBs": 128, "IntervalInSeconds": 900},
        },
    )
    streams, clock = cloud.state(DeliveryStreams), [BEGIN]
    monkeypatch.setattr(streams, "now", lambda: clock[0])
    stream = streams.by_name[bucket]
    for moment in moments():
        clock[0] = moment + timedelta(seconds=1)
        if stream.records and clock[0] - stream.oldest >= timedelta(seconds=buffer_seconds):
            streams.flush(bucket)
        record = Interaction(
            interaction_id=name(moment),
            started_at=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            input="question",
            output="answer",
            finish_reason="stop",
            embedding=EMBEDDING,
        )
        streams.put(stream, [record.line()])
    streams.flush(bucket)


@pytest.fixture(scope="module", params=[67, LONGEST], ids=lambda seconds: f"{seconds} s")
def bucket(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        deliver(cloud, f"edge-{request.param}", request.param, monkeypatch)
    yield f"edge-{request.param}"


def read(cloud: Cloud, bucket: str, window: Window) -> tuple[list[str], Reader]:
    lake, reader = S3Lake(bucket, cloud.client("s3")), Reader(window)
    found = [
        identifier
        for key, _ in window.keys(lake, "interactions")
        for batch in reader.read(lake.read(key), key)
        for identifier in batch.ids
    ]
    return found, reader


def test_the_objects_do_span_the_edge(cloud: Cloud, bucket: str) -> None:
    """Otherwise nothing would be tried here."""
    keys = [item["Key"] for item in cloud.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    before = [key for key in keys if key.startswith("interactions/dt=2026-11-20/")]
    day = Window(MIDNIGHT, MIDNIGHT + timedelta(days=1))
    lake, reader = S3Lake(bucket, cloud.client("s3")), Reader(day)
    assert any(batch.ids for batch in reader.read(lake.read(before[-1]), before[-1]))


@pytest.mark.parametrize("hours", [1, 24])
def test_analysis_reads_each_record_in_its_own_window(cloud: Cloud, bucket: str, hours: int) -> None:
    for window in windows(MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=1), hours=hours):
        found, reader = read(cloud, bucket, window)
        assert found == [name(each) for each in moments() if window.start <= each < window.end]
        assert not reader.checks["wrong_clock"], "what lies beside its hour has no wrong clock"


class Everyone:
    """A review backend that takes what it is given."""

    def submit(self, tasks: Any) -> int:
        return len(tasks)


@pytest.mark.parametrize("day", [MIDNIGHT.date() - timedelta(days=1), MIDNIGHT.date()], ids=str)
def test_review_draws_from_each_record_of_its_day(
    cloud: Cloud, bucket: str, day: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review.boto3, "client", cloud.client)
    settings = review.ReviewSettings(
        environment="edges",
        lake_bucket=bucket,
        tracking_uri="unused",
        sampling=SamplingSettings(budget=1_000),
    )
    backend: Any = Everyone()
    tasks = review.sample(review.Lake(cloud.client("s3"), bucket), backend, settings, day)
    assert tasks[0].population == sum(each.date() == day for each in moments())


@pytest.mark.parametrize(("time", "day"), [("00:05", 19), ("00:14", 19), ("00:15", 20), ("01:20", 20)])
def test_a_schedule_soon_after_the_edge_takes_the_last_day_that_is_delivered(time: str, day: int) -> None:
    due = ["--scheduled", f"2026-11-21T{time}:00Z"]
    analysis: Any = SimpleNamespace(hours=24)
    start, end = analyse._range(analyse._parser().parse_args(due), analysis)
    assert (start.day, end - start) == (day, timedelta(days=1))
    assert review._day(review._parser().parse_args(due)).day == day


def test_readers_look_back_by_the_longest_buffer_that_a_stream_may_have() -> None:
    limits = {type(each).__name__: each for each in Capture.model_fields["buffer_seconds"].metadata}
    assert limits["Le"].le == InteractionStream.LONGEST_BUFFER_SECONDS == LONGEST
