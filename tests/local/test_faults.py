"""Each kind of fault does what it says, seen through botocore as the runtime sees it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from local.aws.kernel.cloud import Cloud

Install = Callable[..., None]
ONCE = {"total_max_attempts": 1}
QUICK = Config(read_timeout=0.2, retries=ONCE)
QUESTION: dict[str, Any] = {
    "modelId": "amazon.nova-micro-v1:0",
    "messages": [{"role": "user", "content": [{"text": "hello"}]}],
}


@pytest.fixture
def install(cloud: Cloud) -> Iterator[Install]:
    """Return a function that installs faults at the control endpoint; they are gone after the test."""

    def put(*faults: dict[str, Any]) -> None:
        answer = urllib3.request("PUT", f"{cloud.endpoint}/_local/faults", body=json.dumps(faults))
        assert answer.status == 200, answer.data

    urllib3.request("DELETE", f"{cloud.endpoint}/_local/journal")
    yield put
    urllib3.request("DELETE", f"{cloud.endpoint}/_local/faults")


@pytest.fixture
def stream(cloud: Cloud) -> Any:
    """Return a client, and create its delivery stream."""
    s3, firehose = cloud.client("s3"), cloud.client("firehose")
    s3.create_bucket(Bucket="faults")
    s3.put_object(Bucket="faults", Key="k", Body=b"0123456789")
    if "f" not in firehose.list_delivery_streams()["DeliveryStreamNames"]:
        firehose.create_delivery_stream(
            DeliveryStreamName="f",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/x",
                "BucketARN": "arn:aws:s3:::faults",
            },
        )
    return firehose


def journal(cloud: Cloud, operation: str) -> list[dict[str, Any]]:
    calls = urllib3.request("GET", f"{cloud.endpoint}/_local/journal").json()
    return [call for call in calls if call["operation"] == operation]


def put(client: Any, count: int = 4) -> Any:
    return client.put_record_batch(
        DeliveryStreamName="f", Records=[{"Data": b"%d" % n} for n in range(count)]
    )


@pytest.mark.parametrize(
    ("service", "call", "status", "code"),
    [
        ("firehose", "list_delivery_streams", 503, "ServiceUnavailableException"),
        ("dynamodb", "list_tables", 400, "ProvisionedThroughputExceededException"),
        ("s3", "list_buckets", 503, "SlowDown"),
        ("comprehend", "list_endpoints", 400, "ThrottlingException"),
    ],
)
def test_throttling_is_each_services_own(
    cloud: Cloud, install: Install, service: str, call: str, status: int, code: str
) -> None:
    install({"service": service, "kind": "throttle"})
    with pytest.raises(ClientError) as caught:
        getattr(cloud.client(service), call)()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_error_has_the_status_and_code_that_were_asked_for_so_many_times(
    cloud: Cloud, install: Install
) -> None:
    install({"service": "dynamodb", "operation": "ListTables", "kind": "error", "status": 503, "times": 2})
    dynamodb = cloud.client("dynamodb")
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            dynamodb.list_tables()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "TableNames" in dynamodb.list_tables()
    assert [call["fault"] for call in journal(cloud, "ListTables")] == ["error", "error", ""]


def test_every_second_call_is_every_second_call(cloud: Cloud, install: Install) -> None:
    install({"service": "s3", "kind": "error", "every": 2})
    outcomes = []
    for _ in range(4):
        try:
            cloud.client("s3").list_buckets()
            outcomes.append("ok")
        except ClientError:
            outcomes.append("error")
    assert outcomes == ["error", "ok", "error", "ok"]


def test_a_reset_is_a_closed_connection_before_or_after_the_work(
    cloud: Cloud, install: Install, stream: Any
) -> None:
    with pytest.raises(ConnectionClosedError):
        install({"service": "s3", "operation": "PutObject", "kind": "reset"})
        cloud.client("s3").put_object(Bucket="faults", Key="before", Body=b"")
    with pytest.raises(ConnectionClosedError):
        install({"service": "s3", "operation": "PutObject", "kind": "reset", "served": True})
        cloud.client("s3").put_object(Bucket="faults", Key="after", Body=b"")
    keys = {each["Key"] for each in cloud.client("s3").list_objects_v2(Bucket="faults")["Contents"]}
    assert "after" in keys and "before" not in keys
    assert [call["status"] for call in journal(cloud, "PutObject")][-2:] == [0, 0]


def test_a_hang_lasts_until_the_caller_gives_up_and_the_journal_says_so(
    cloud: Cloud, install: Install
) -> None:
    install({"service": "comprehend", "kind": "hang"})
    with pytest.raises(ReadTimeoutError):
        cloud.client("comprehend", config=QUICK).detect_dominant_language(Text="hello")
    deadline = time.monotonic() + 20
    while (call := journal(cloud, "DetectDominantLanguage")[0])["ended"] is None:
        assert time.monotonic() < deadline
    assert (call["left"], call["fault"], call["status"]) == (True, "hang", 0)


def test_what_hangs_is_let_go_when_the_faults_are_cleared(cloud: Cloud, install: Install) -> None:
    install({"service": "comprehend", "kind": "hang"})
    errors: list[BaseException] = []

    def call() -> None:
        try:
            cloud.client("comprehend").detect_dominant_language(Text="hello")
        except BotoCoreError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while not urllib3.request("GET", f"{cloud.endpoint}/_local/faults").json()[0]["hits"]:
        pass
    install()
    caller.join(20)
    assert isinstance(errors[0], ConnectionClosedError)


def test_latency_is_time_before_the_same_answer(cloud: Cloud, install: Install) -> None:
    install({"service": "s3", "operation": "ListBuckets", "kind": "latency", "seconds": 0.3})
    with pytest.raises(ReadTimeoutError):
        cloud.client("s3", config=QUICK).list_buckets()
    assert "Buckets" in cloud.client("s3").list_buckets()
    call = journal(cloud, "ListBuckets")[-1]
    assert call["ended"] - call["began"] >= 0.3


@pytest.mark.parametrize("body", ["html", "empty", "binary"])
def test_garbage_is_no_answer_of_the_service(cloud: Cloud, install: Install, stream: Any, body: str) -> None:
    install({"service": "firehose", "operation": "PutRecordBatch", "kind": "garbage", "body": body})
    try:
        answer = put(stream)
    except (ResponseParserError, ValueError):
        return  # botocore cannot parse it
    assert "RequestResponses" not in answer


def test_garbage_in_json_parses_and_lacks_everything(cloud: Cloud, install: Install, stream: Any) -> None:
    install({"service": "firehose", "operation": "PutRecordBatch", "kind": "garbage", "body": "json"})
    assert "RequestResponses" not in put(stream)


def test_a_cut_body_ends_in_the_middle(cloud: Cloud, install: Install, stream: Any) -> None:
    install({"service": "s3", "operation": "GetObject", "kind": "cut"})
    body = cloud.client("s3").get_object(Bucket="faults", Key="k")["Body"]
    with pytest.raises((ResponseStreamingError, BotoCoreError)):
        body.read()


def test_a_cut_stream_ends_after_its_first_events(cloud: Cloud, install: Install) -> None:
    install({"service": "bedrock-runtime", "operation": "ConverseStream", "kind": "cut", "after": 2})
    events = iter(cloud.client("bedrock-runtime").converse_stream(**QUESTION)["stream"])
    seen = [next(events), next(events)]
    assert "messageStart" in seen[0]
    with pytest.raises((ResponseStreamingError, urllib3.exceptions.ProtocolError)):
        next(events)
    assert journal(cloud, "ConverseStream")[0]["status"] == 0


def test_of_a_partial_batch_every_second_record_is_taken(cloud: Cloud, install: Install, stream: Any) -> None:
    from local.aws.services.firehose import DeliveryStreams

    install({"service": "firehose", "operation": "PutRecordBatch", "kind": "partial"})
    answer = put(stream, 5)
    assert answer["FailedPutCount"] == 3
    assert [bool(each.get("ErrorCode")) for each in answer["RequestResponses"]] == [True, False] * 2 + [True]
    assert [each.strip() for each in cloud.state(DeliveryStreams).by_name["f"].records] == [b"1", b"3"]


@pytest.mark.parametrize(
    ("kind", "service", "call", "code"),
    [
        ("expired", "dynamodb", "list_tables", "ExpiredTokenException"),
        ("expired", "s3", "list_buckets", "ExpiredToken"),
        ("skew", "dynamodb", "list_tables", "InvalidSignatureException"),
        ("skew", "s3", "list_buckets", "RequestTimeTooSkewed"),
    ],
)
def test_credentials_and_clocks_are_refused_as_each_protocol_has_it(
    cloud: Cloud, install: Install, kind: str, service: str, call: str, code: str
) -> None:
    install({"service": service, "kind": kind, **({"seconds": 900} if kind == "skew" else {})})
    with pytest.raises(ClientError) as caught:
        getattr(cloud.client(service), call)()
    assert caught.value.response["Error"]["Code"] == code


def test_the_issuers_keys_can_hang_too(cloud: Cloud, install: Install) -> None:
    pool = cloud.client("cognito-idp").create_user_pool(PoolName="p")["UserPool"]["Id"]
    url = f"{cloud.endpoint}/{pool}/.well-known/jwks.json"
    install({"service": "cognito-idp", "operation": "GetSigningKeys", "kind": "hang"})
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, timeout=0.2, retries=False)
    install()
    assert urllib3.request("GET", url).json()["keys"]


def test_a_fault_is_for_the_caller_that_it_names(cloud: Cloud, install: Install) -> None:
    install({"service": "sts", "caller": "*assumed-role/job*", "kind": "error"})
    assert cloud.client("sts").get_caller_identity()
    role = cloud.credentials.issue("arn:aws:iam::123456789012:role/job-role", "s")
    with pytest.raises(ClientError):
        cloud.client("sts", role=role).get_caller_identity()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"service": "s3", "kind": "explode"}, "0.kind"),
        ({"kind": "reset"}, "0.service: Field required"),
        ({"service": "s3", "kind": "reset", "tiems": 1}, "0.tiems: Extra inputs"),
        ({"service": "s3", "operation": "PutObject", "kind": "partial"}, "firehose:PutRecordBatch"),
        ({"service": "s3", "kind": "latency"}, "needs seconds"),
    ],
)
def test_a_bad_fault_is_refused_with_its_field(cloud: Cloud, fault: dict[str, Any], said: str) -> None:
    answer = urllib3.request("PUT", f"{cloud.endpoint}/_local/faults", body=json.dumps([fault]))
    assert answer.status == 400
    assert said in answer.json()["message"] and "kinds: latency" in answer.json()["message"]
