"""A privacy request leaves nothing of the user in any version of any object, and everything of everybody else."""

from __future__ import annotations

import base64
import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from fmops.capture import FirehoseSink, Spool, lake
from fmops.capture.forget import Forgotten, forget, note, requests
from fmops.interaction import Feedback, Interaction, RawText, timestamp
from fmops.review.mlflow_review import MlflowReview
from local.aws.kernel.cloud import Cloud
from local.aws.services.firehose import DeliveryStreams
from ops import forget as command

ME, OTHER = "a" * 32, "b" * 32
DAY = "interactions/dt=2026-11-20/hour=09/"


@pytest.fixture
def bucket(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    name = f"lake-{abs(hash(request.node.name))}"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def every_byte(s3: Any, bucket: str) -> bytes:
    """Return all versions of all objects, unpacked and joined."""
    found = b""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in page.get("Versions", []):
            body = s3.get_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])["Body"].read()
            found += gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    return found


def test_everything_of_the_user_goes_and_nothing_else(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    mine = Interaction(user=ME, trace_id="1" * 32, input="my secret question's words")
    theirs = Interaction(user=OTHER, input="their words")
    lost = Interaction(user=ME)
    mine_on_theirs = Feedback(interaction_id=theirs.interaction_id, user=ME, rating="up")
    theirs_on_mine = Feedback(interaction_id=mine.interaction_id, user=OTHER, rating="down")
    undelivered = json.dumps({"rawData": base64.b64encode(lost.line()).decode()}).encode() + b"\n"
    kept = [theirs.line(), Feedback(interaction_id=theirs.interaction_id, user=OTHER, rating="up").line()]
    objects = {
        f"{DAY}mixed": gzip.compress(b"".join([mine.line(), *kept, mine_on_theirs.line(), b"garbage\n"])),
        f"{DAY}only-mine": gzip.compress(mine.line()),
        f"{DAY}only-theirs": gzip.compress(theirs.line()),
        "interactions/dt=2026-11-21/hour=00/late": gzip.compress(theirs_on_mine.line()),
        "interactions-raw/dt=2026-11-20/hour=09/x": gzip.compress(
            RawText(interaction_id=mine.interaction_id, user=ME, input="4111 1111").line()
        ),
        "interactions-errors/failed": undelivered,
        "review/tasks.jsonl": json.dumps({"interaction_id": mine.interaction_id}).encode()
        + b'\n{"interaction_id": "x"}\n',
        "analysis/content/reports/a.html": b"<p>my secret question&#x27;s words</p>",
        "analysis/content/reports/b.html": b"<p>their words</p>",
        "analysis/content/results/a.json": json.dumps({"for": [mine.interaction_id]}, indent=1).encode(),
        "analysis/content/texts/a.json.gz": gzip.compress(b'{"t": "my secret question\'s words"}'),
        "athena-results/1.csv": f'"{theirs.interaction_id}"\n"{mine.interaction_id}"\n'.encode(),
    }
    for key, body in objects.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    s3.put_object(Bucket=bucket, Key=f"{DAY}only-theirs", Body=gzip.compress(theirs.line()))
    s3.delete_object(Bucket=bucket, Key=f"{DAY}only-mine")  # its old version is still there

    found = forget(s3, bucket, ME, command.PREFIXES)
    assert found.traces == {mine.trace_id}

    rest = every_byte(s3, bucket)
    assert not found.left
    assert found.interactions == {mine.interaction_id, lost.interaction_id}
    for gone in (ME, mine.interaction_id, lost.interaction_id, "my secret", "4111"):
        assert gone.encode() not in rest
    for line in [*kept, b"garbage\n", b'{"interaction_id": "x"}\n']:
        assert line in rest
    assert rest.count(theirs.line()) == 3
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {
        f"{DAY}mixed",
        f"{DAY}only-theirs",
        "review/tasks.jsonl",
        "analysis/content/reports/b.html",
    }
    assert command.report("me", ME, found) == 0

    again = forget(s3, bucket, ME, command.PREFIXES)
    assert not again.interactions and not again.objects


def test_what_arrives_late_is_left_out_reported_and_removed_by_the_next_pass(
    cloud: Cloud,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Use the real sink: the user's records wait in its spool during the request, and are delivered
    afterwards.
    """
    s3 = cloud.client("s3")
    role = cloud.client("iam").create_role(RoleName="late", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    firehose = cloud.client("firehose")
    destination = {
        "RoleARN": role,
        "BucketARN": f"arn:aws:s3:::{bucket}",
        "Prefix": "interactions/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/",
        "ErrorOutputPrefix": "interactions-errors/!{firehose:error-output-type}/",
        "CompressionFormat": "GZIP",
    }
    firehose.create_delivery_stream(DeliveryStreamName="late", ExtendedS3DestinationConfiguration=destination)
    mine, theirs = (
        Interaction(user=ME, input="my late words", output="x"),
        Interaction(user=OTHER, output="x"),
    )
    away = FirehoseSink(Away(), "late", Spool(tmp_path / "spool"), linger=0.01, attempts=1)
    for record in (mine, Feedback(interaction_id=theirs.interaction_id, user=ME, rating="up"), theirs):
        away.put(record)
    away.close()
    note(s3, bucket, ME, timestamp())
    assert not forget(s3, bucket, ME, command.PREFIXES).interactions, "nothing has arrived yet"

    back = FirehoseSink(firehose, "late", Spool(tmp_path / "spool"), linger=0.01)
    new = Interaction(user=ME, input="of afterwards", output="x")
    back.put(new)
    deadline = time.monotonic() + 60
    while any(back.waiting().values()) and time.monotonic() < deadline:
        time.sleep(0.01)
    back.close()
    cloud.state(DeliveryStreams).flush()
    assert mine.interaction_id.encode() in every_byte(s3, bucket)

    lake.fetch(s3, bucket, tmp_path / "lake")
    connection = lake.connect(tmp_path / "lake", forgotten=requests(s3, bucket))
    seen = {row[0] for row in connection.execute("SELECT interaction_id FROM interactions").fetchall()}
    assert seen == {theirs.interaction_id, new.interaction_id}
    assert lake.count_forgotten(connection) == 2

    monkeypatch.setattr(MlflowReview, "forget", lambda *_: 0)
    assert command.again(s3, bucket, "unused") == 0
    assert "2 lines of 1 interactions had arrived since" in capsys.readouterr().out
    rest = every_byte(s3, bucket)
    assert mine.interaction_id.encode() not in rest and b"my late words" not in rest
    assert theirs.line() in rest and new.line() in rest
    assert rest.count(ME.encode()) == 2, "what came after the request, and the note of it"
    assert command.again(s3, bucket, "unused") == 0
    assert "0 lines of 0 interactions" in capsys.readouterr().out


def test_traces_with_content_go_too(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    for _ in range(2):
        mlflow.start_span_no_context("POST /v1/chat/completions", experiment_id="0").end()
    mlflow.flush_trace_async_logging()
    mine, others = (
        trace.info.trace_id for trace in mlflow.search_traces(locations=["0"], return_type="list")
    )
    found = Forgotten(traces={mine.removeprefix("tr-"), "f" * 32})
    assert command._delete_content(uri, "", found) == 0, "a deployment that makes none"
    assert command._delete_content(uri, "0", found) == 1
    left = mlflow.search_traces(locations=["0"], return_type="list")
    assert [trace.info.trace_id for trace in left] == [others]


class Away:
    """Firehose during an outage."""

    def put_record_batch(self, **_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="firehose")


def test_of_many_requests_at_once_none_is_lost(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    users = [f"user-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda user: note(s3, bucket, user, "2026-11-20T00:00:00Z"), users))
    assert sorted(requests(s3, bucket)) == users


def test_an_unknown_user_is_refused_with_a_remedy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = cloud.client("cognito-idp").create_user_pool(PoolName="p")["UserPool"]["Id"]
    secret = cloud.client("secretsmanager").create_secret(Name="k", SecretString="k" * 64)["ARN"]
    outputs = {"UserPoolId": pool, "PseudonymKeyArn": secret, "LakeBucketName": "none"}
    monkeypatch.setattr(command, "_outputs", lambda _: outputs)
    monkeypatch.setattr(command.boto3, "client", cloud.client)
    monkeypatch.setattr("sys.argv", ["forget", "--user", "nobody"])
    assert command.main() == 2
    assert "there is no user 'nobody'" in capsys.readouterr().err
