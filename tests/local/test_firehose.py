"""Buffering, prefixes, compression, the delivery role, and what happens when S3 refuses."""

from __future__ import annotations

import gzip
import json
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.firehose import DeliveryStreams
from local.aws.services.firehose_prefix import object_key

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "firehose.yaml").read_text())
MOMENT = datetime(2026, 3, 4, 23, 6, 7, tzinfo=UTC)


def make_stream(cloud: Cloud, name: str, *, bucket: str | None = None, **destination: Any) -> str:
    """A stream whose bucket exists unless another one is named."""
    iam, s3, role = cloud.client("iam"), cloud.client("s3"), f"{name}-delivery"
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    if bucket is None:
        s3.create_bucket(Bucket=name)
    cloud.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": arn,
            "BucketARN": f"arn:aws:s3:::{bucket or name}",
            "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
            **destination,
        },
    )
    return arn


def objects(cloud: Cloud, bucket: str) -> dict[str, bytes]:
    s3 = cloud.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def put(cloud: Cloud, name: str, *records: bytes) -> None:
    cloud.client("firehose").put_record_batch(
        DeliveryStreamName=name, Records=[{"Data": record} for record in records]
    )


def test_records_wait_until_flushed_and_land_together_under_the_delivery_role(cloud: Cloud) -> None:
    prefix = "records/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    role = make_stream(cloud, "together", CompressionFormat="GZIP", Prefix=prefix)
    put(cloud, "together", b'{"n":1}\n', b'{"n":2}\n')
    assert objects(cloud, "together") == {}
    answer = json.loads(urllib3.request("GET", f"{cloud.endpoint}/_local/flush").data)
    assert answer["together"] == {"objects": 1, "buffered": 0, "error": ""}
    ((key, body),) = objects(cloud, "together").items()
    assert re.match(r"records/dt=\d{4}-\d\d-\d\d/hour=\d\d/together-1-[\d-]{19}-[0-9a-f-]{36}\.gz$", key)
    assert gzip.decompress(body) == b'{"n":1}\n{"n":2}\n'
    assert cloud.calls[role, "s3", "PutObject"] == 1


def test_a_full_buffer_is_delivered_without_being_asked(cloud: Cloud) -> None:
    make_stream(cloud, "by-size", BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 900})
    put(cloud, "by-size", b"x" * 700_000)
    put(cloud, "by-size", b"y" * 700_000)
    delivered = wait_for(lambda: objects(cloud, "by-size"))
    assert [len(body) for body in delivered.values()] == [1_400_000]


def test_an_old_buffer_is_delivered_without_being_asked(tmp_path: Path) -> None:
    with LocalAws(port=0, enforce=False, directory=tmp_path, deliver_within=0.1) as cloud:
        make_stream(
            cloud,
            "by-age",
            ProcessingConfiguration={"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]},
        )
        put(cloud, "by-age", b"one", b"two")
        assert list(wait_for(lambda: objects(cloud, "by-age")).values()) == [b"one\ntwo\n"]


def wait_for(found: Any) -> Any:
    for _ in range(200):
        if result := found():
            return result
        threading.Event().wait(0.05)
    raise AssertionError("nothing was delivered")


def test_what_s3_refuses_is_kept_and_delivered_later(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    make_stream(cloud, "patient", bucket="not-yet-there")
    put(cloud, "patient", b"kept")
    state = cloud.state(DeliveryStreams)
    assert "NoSuchBucket" in state.flush("patient")["patient"]["error"]
    assert "DELIVERY FAILED" in caplog.text
    cloud.client("s3").create_bucket(Bucket="not-yet-there")
    assert state.flush("patient")["patient"] == {"objects": 1, "buffered": 0, "error": ""}
    assert list(objects(cloud, "not-yet-there").values()) == [b"kept"]


def test_stopping_delivers_what_is_buffered(tmp_path: Path) -> None:
    cloud = LocalAws(port=0, enforce=False, directory=tmp_path).start()
    make_stream(cloud, "last-words")
    put(cloud, "last-words", b"bye")
    state = cloud.state(DeliveryStreams)
    cloud.stop()
    assert state.by_name["last-words"].delivered_objects == 1


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ({"CompressionFormat": "GZIP"}, r"\.gz"),
        ({"FileExtension": ".jsonl"}, r"\.jsonl"),
        ({"FileExtension": ".jsonl", "CompressionFormat": "GZIP"}, r"\.jsonl"),
    ],
)
def test_a_key_ends_with_the_stream_the_time_and_an_id(destination: dict[str, Any], expected: str) -> None:
    pattern = r"2026/03/04/23/s-1-2026-03-04-23-06-07-[0-9a-f-]{36}" + expected
    assert re.fullmatch(pattern, object_key(destination, "s", MOMENT))


def repeated(value: Any) -> Any:
    """A value of the table, in which long texts are told by what they repeat."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    return {name: repeated(each) for name, each in value.items()}


@pytest.mark.parametrize("case", GOLDEN["keys"], ids=lambda case: f"{case['prefix']} {case.get('zone', '')}")
def test_prefixes_become_what_the_documentation_says(case: dict[str, Any]) -> None:
    destination = {"Prefix": case["prefix"], "CustomTimeZone": case.get("zone")}
    key = object_key(destination, "name", datetime(2018, 8, 27, 10, 30, tzinfo=UTC))
    assert re.fullmatch(case["key"], key.partition("name-1-")[0])


def create(cloud: Cloud, case: dict[str, Any]) -> None:
    destination = {
        "RoleARN": "arn:aws:iam::123456789012:role/r",
        "BucketARN": "arn:aws:s3:::b",
        **repeated(case.get("destination", {})),
    }
    cloud.client("firehose").create_delivery_stream(
        **{
            "DeliveryStreamName": uuid.uuid4().hex,
            "ExtendedS3DestinationConfiguration": destination,
            **repeated(case.get("stream", {})),
        }
    )


@pytest.mark.parametrize("case", GOLDEN["refused"], ids=lambda case: case["why"])
def test_what_the_service_refuses_is_refused(cloud: Cloud, case: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as error:
        create(cloud, case)
    assert error.value.response["Error"]["Code"] == "InvalidArgumentException", error.value


@pytest.mark.parametrize("case", GOLDEN["taken"], ids=str)
def test_what_the_service_takes_is_taken(cloud: Cloud, case: dict[str, Any]) -> None:
    create(cloud, case)


def test_an_object_lies_under_the_arrival_of_its_oldest_record(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    make_stream(cloud, "over-midnight", Prefix=prefix, bucket="made-later")
    streams, clock = cloud.state(DeliveryStreams), [datetime(2026, 3, 4, 23, 59, 30, tzinfo=UTC)]
    monkeypatch.setattr(streams, "now", lambda: clock[0])
    put(cloud, "over-midnight", b"before;")
    clock[0] += timedelta(seconds=45)
    put(cloud, "over-midnight", b"after")
    streams.flush("over-midnight")  # S3 refuses: there is no bucket yet
    clock[0] += timedelta(hours=3)
    put(cloud, "over-midnight", b"later")
    cloud.client("s3").create_bucket(Bucket="made-later")
    streams.flush("over-midnight")
    found = {key.partition("/over")[0]: body for key, body in objects(cloud, "made-later").items()}
    assert found == {"dt=2026-03-04/hour=23": b"before;after", "dt=2026-03-05/hour=03": b"later"}


def test_limits_and_what_is_not_there(cloud: Cloud) -> None:
    firehose = cloud.client("firehose")
    make_stream(cloud, "limits")
    with pytest.raises(firehose.exceptions.InvalidArgumentException, match="500"):
        put(cloud, "limits", *[b"x"] * 501)
    with pytest.raises(firehose.exceptions.InvalidArgumentException, match="1024001"):
        put(cloud, "limits", b"x" * 1_024_001)
    with pytest.raises(firehose.exceptions.ResourceNotFoundException):
        put(cloud, "no-such-stream", b"x")
    with pytest.raises(ClientError, match="MetadataExtraction"):
        make_stream(
            cloud,
            "with-jq",
            ProcessingConfiguration={"Enabled": True, "Processors": [{"Type": "MetadataExtraction"}]},
        )
