"""The kernel: routing, errors, streaming, and the identity of callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.credentials import ContainerProvider
from botocore.exceptions import ClientError, EventStreamError

from local.aws.kernel.api import ServiceError
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.ports import PortInUseError, check_port
from local.aws.services.bedrock import inference as bedrock_runtime

MODEL = "amazon.nova-micro-v1:0"
QUESTION: dict[str, Any] = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "hello"}]}]}


def test_neighbours_of_our_operations_are_answered_by_moto(cloud: Cloud) -> None:
    comprehend = cloud.client("comprehend")
    assert comprehend.detect_sentiment(Text="x", LanguageCode="en")["Sentiment"] == "NEUTRAL"


def test_binary_objects_survive_the_front(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="front-test")
    body = bytes(range(256)) * 500
    s3.put_object(Bucket="front-test", Key="a/b c+ü.bin", Body=body)
    assert s3.get_object(Bucket="front-test", Key="a/b c+ü.bin")["Body"].read() == body
    assert s3.head_object(Bucket="front-test", Key="a/b c+ü.bin")["ContentLength"] == len(body)
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket="front-test", Key="nothing")


def test_presigned_urls_work(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="presigned-test")
    s3.put_object(Bucket="presigned-test", Key="k", Body=b"content")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned-test", "Key": "k"})
    assert urllib3.request("GET", url).data == b"content"


@pytest.mark.parametrize(
    ("service", "operation", "name"),
    [
        ("bedrock", "list_foundation_models", "bedrock:ListFoundationModels"),
        ("braket", "list_tags_for_resource", None),
        ("verifiedpermissions", "list_policy_stores", "verifiedpermissions:ListPolicyStores"),
        ("cloudwatch", "list_metric_streams", "cloudwatch:ListMetricStreams"),
    ],
)
def test_what_is_not_there_is_501_with_its_name(
    cloud: Cloud, service: str, operation: str, name: str | None
) -> None:
    arguments = {"resourceArn": "arn:aws:braket:us-east-1:1:job/x"} if service == "braket" else {}
    with pytest.raises(ClientError) as caught:
        getattr(cloud.client(service), operation)(**arguments)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert name is None or name in str(caught.value.response)


def test_modelled_errors_are_the_clients_exceptions(cloud: Cloud) -> None:
    client = cloud.client("verifiedpermissions")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        client.get_policy_store(policyStoreId="nothing")
    assert caught.value.response["resourceType"] == "POLICY_STORE"
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_unknown_access_keys_and_unsigned_requests_are_refused(cloud: Cloud) -> None:
    import boto3

    stranger = boto3.client(
        "sts",
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id="ak",
        aws_secret_access_key="x",
    )
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        stranger.get_caller_identity()
    assert urllib3.request("GET", f"{cloud.endpoint}/some-bucket/key").status == 403


def test_containers_get_their_role_through_botocores_own_provider(cloud: Cloud) -> None:
    role = "arn:aws:iam::123456789012:role/task"
    cloud.container_credentials["token"] = cloud.credentials.issue(role, "session")
    uri = f"{cloud.endpoint}/_local/credentials/token"
    provided = (
        ContainerProvider(environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}).load().get_frozen_credentials()
    )
    assert provided.access_key.startswith("ASIA")
    sts = cloud.client("sts", role=cloud.container_credentials["token"])
    assert sts.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/task/session"
    assert cloud.calls[role, "sts", "GetCallerIdentity"] == 1


def test_event_streams_arrive_as_they_are_made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    first_was_read = threading.Event()
    in_time = []

    def events(_: Any) -> Iterator[dict[str, Any]]:
        yield {"messageStart": {"role": "assistant"}}
        in_time.append(first_was_read.wait(10))  # a front that collects the stream would wait here in vain
        yield {"messageStop": {"stopReason": "end_turn"}}

    monkeypatch.setattr(bedrock_runtime, "stream_events", events)
    stream = iter(cloud.client("bedrock-runtime").converse_stream(**QUESTION)["stream"])
    assert next(stream) == {"messageStart": {"role": "assistant"}}
    first_was_read.set()
    assert next(stream) == {"messageStop": {"stopReason": "end_turn"}}
    assert in_time == [True]


def test_an_error_in_mid_stream_is_an_exception_event(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def events(_: Any) -> Iterator[dict[str, Any]]:
        yield {"messageStart": {"role": "assistant"}}
        raise ServiceError("ModelStreamErrorException", "the model broke off")

    monkeypatch.setattr(bedrock_runtime, "stream_events", events)
    stream = cloud.client("bedrock-runtime").converse_stream(**QUESTION)["stream"]
    with pytest.raises(EventStreamError, match="the model broke off"):
        list(stream)


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(cloud: Cloud) -> None:
    with pytest.raises(PortInUseError, match=rf"port {cloud.port}, which MLflow needs.*pid.*--port-base"):
        check_port(cloud.port, "MLflow", "--port-base")
