"""A queue collects S3's events, and its batches invoke a function, each step under its own permissions.

Held to "EventBridge event message structure" (S3 user guide), "Using Lambda with Amazon SQS" (Lambda developer guide)
and the resource policy that CDK gives a queue that is a rule's target.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.cloudformation.provisioner import install
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.events import Bus
from local.aws.services.scheduler import fire

CODE = """
import json, boto3

def handler(event, context):
    if "Records" not in event:
        boto3.client("sqs").send_message(QueueUrl=event["url"], MessageBody=json.dumps({"asked": event["asked"]}))
        return
    messages = [(each["messageId"], json.loads(each["body"])) for each in event["Records"]]
    print(json.dumps([body for _, body in messages]), flush=True)
    if any(body.get("asked") == "sooner" for _, body in messages):
        sqs, failed = boto3.client("sqs"), event["Records"]
        url = sqs.meta.endpoint_url + "/123456789012/arrivals"
        entries = [{"Id": "0", "ReceiptHandle": failed[0]["receiptHandle"], "VisibilityTimeout": 0}]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    if any(body.get("asked") == "raise" for _, body in messages):
        raise RuntimeError("not now")
    bad = [each for each, body in messages if body.get("asked") in ("fail", "sooner")]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in bad]}
"""


def template(queue_policy_source: Any) -> dict[str, Any]:
    arn = {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Queue", "Dead", "Rule", "Role", "Function")}
    send = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
        "Resource": arn["Queue"],
        "Condition": {"ArnEquals": {"aws:SourceArn": queue_policy_source or arn["Rule"]}},
    }
    return {
        "Resources": {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "BucketName": "papers",
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
                },
            },
            "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead"}},
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "QueueName": "arrivals",
                    "VisibilityTimeout": 3,
                    "RedrivePolicy": {"deadLetterTargetArn": arn["Dead"], "maxReceiveCount": 1},
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {
                        "source": ["aws.s3"],
                        "detail-type": ["Object Created", "Object Deleted"],
                        "detail": {
                            "bucket": {"name": ["papers"]},
                            "object": {"key": [{"prefix": "documents/"}]},
                        },
                    },
                    "State": "ENABLED",
                    "Targets": [{"Id": "Target0", "Arn": arn["Queue"]}],
                },
            },
            "QueuePolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {
                    "Queues": [{"Ref": "Queue"}],
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": [send]},
                },
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"Service": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]},
                                "Action": "sts:AssumeRole",
                            }
                        ],
                    },
                    "Policies": [
                        {
                            "PolicyName": "queue",
                            "PolicyDocument": {
                                "Version": "2012-10-17",
                                "Statement": [
                                    {
                                        "Effect": "Allow",
                                        "Action": [
                                            "sqs:ReceiveMessage",
                                            "sqs:ChangeMessageVisibility",
                                            "sqs:DeleteMessage",
                                            "sqs:GetQueueAttributes",
                                            "sqs:SendMessage",
                                        ],
                                        "Resource": arn["Queue"],
                                    },
                                    {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"},
                                ],
                            },
                        }
                    ],
                },
            },
        }
    }


class Chain:
    """The deployed chain from a bucket to a function."""

    def __init__(self, cloud: Cloud, *, source: Any = None) -> None:
        self.cloud = cloud
        self.cloud.client("cloudformation").create_stack(
            StackName="chain", TemplateBody=json.dumps(template(source))
        )
        (role,) = self.cloud.client("iam").list_roles()["Roles"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as packed:
            packed.writestr("app.py", CODE)
        self.function: str = cloud.client("lambda").create_function(
            FunctionName="collect",
            Runtime="python3.13",
            Role=role["Arn"],
            Handler="app.handler",
            Timeout=3,
            Code={"ZipFile": code.getvalue()},
        )["FunctionArn"]
        self.role: str = role["Arn"]
        self.url: str = cloud.client("sqs").get_queue_url(QueueName="arrivals")["QueueUrl"]

    def map(self, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.cloud.client("lambda").create_event_source_mapping(
            EventSourceArn=f"arn:aws:sqs:us-east-1:{self.cloud.account}:arrivals",
            FunctionName="collect",
            **{"FunctionResponseTypes": ["ReportBatchItemFailures"], **options},
        )
        return answer

    def batches(self) -> list[list[dict[str, Any]]]:
        log: Path = self.cloud.directory / "logs" / "function-collect.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(each) for each in lines if each.startswith("[{")]

    def messages(self) -> list[dict[str, Any]]:
        return [each for batch in self.batches() for each in batch]

    def left(self, queue: str = "arrivals") -> int:
        sqs = self.cloud.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        names = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        return sum(int(found[name]) for name in names)


def until(holds: Callable[[], Any]) -> Any:
    """Return the first true value. The limit is only for a test that would never end."""
    end = time.monotonic() + 60
    while not (value := holds()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return value


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with LocalAws(port=0, directory=tmp_path) as cloud:
        install(cloud)
        yield Chain(cloud)


def test_created_and_deleted_objects_of_the_prefix_reach_the_function_in_a_batch(chain: Chain) -> None:
    assert chain.map(BatchSize=10_000, MaximumBatchingWindowInSeconds=2)["State"] == "Creating"
    s3 = chain.cloud.client("s3")
    s3.put_object(Bucket="papers", Key="elsewhere/a.md", Body=b"a")
    version = s3.put_object(Bucket="papers", Key="documents/a b.md", Body=b"abc")
    s3.delete_object(Bucket="papers", Key="documents/a b.md")
    until(lambda: len(chain.messages()) >= 2)
    created, deleted = chain.messages()
    assert created["detail-type"] == "Object Created"
    assert created["source"] == "aws.s3"
    assert created["detail"]["reason"] == "PutObject"
    described = created["detail"]["object"]
    assert (described["key"], described["size"]) == ("documents/a b.md", 3)
    assert described["etag"] == version["ETag"].strip('"')
    assert described["version-id"] == version["VersionId"]
    assert deleted["detail-type"] == "Object Deleted"
    assert deleted["detail"]["deletion-type"] == "Delete Marker Created"
    assert deleted["detail"]["object"]["key"] == "documents/a b.md"
    assert "size" not in deleted["detail"]["object"]
    until(lambda: chain.left() == 0)


def test_a_message_that_the_function_reports_comes_back_and_ends_in_the_dead_letter_queue(
    chain: Chain,
) -> None:
    chain.map()
    sqs = chain.cloud.client("sqs")
    sqs.send_message(QueueUrl=chain.url, MessageBody=json.dumps({"asked": "fail"}))
    sqs.send_message(QueueUrl=chain.url, MessageBody=json.dumps({"asked": "well"}))
    until(lambda: chain.left("dead") == 1)
    assert chain.left() == 0


def test_a_function_lets_a_message_come_back_sooner_than_the_queue_would(chain: Chain) -> None:
    chain.cloud.client("sqs").set_queue_attributes(
        QueueUrl=chain.url, Attributes={"VisibilityTimeout": "3600"}
    )
    chain.map()
    chain.cloud.client("sqs").send_message(QueueUrl=chain.url, MessageBody=json.dumps({"asked": "sooner"}))
    until(lambda: chain.left("dead") == 1)


def test_a_batch_that_the_function_fails_on_comes_back(chain: Chain) -> None:
    chain.map()
    chain.cloud.client("sqs").send_message(QueueUrl=chain.url, MessageBody=json.dumps({"asked": "raise"}))
    until(lambda: chain.left("dead") == 1)


def test_a_schedule_invokes_a_function_under_its_own_role(chain: Chain) -> None:
    chain.map()
    chain.cloud.client("scheduler").create_schedule(
        Name="nightly",
        ScheduleExpression="cron(30 2 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": chain.function,
            "RoleArn": chain.role,
            "Input": json.dumps({"url": chain.url, "asked": "well"}),
        },
    )
    assert fire(chain.cloud, "nightly") == chain.function
    until(lambda: chain.batches() == [[{"asked": "well"}]])


def test_a_rule_that_the_queues_policy_does_not_name_sends_nothing(tmp_path: Path) -> None:
    with LocalAws(port=0, directory=tmp_path) as cloud:
        install(cloud)
        chain = Chain(cloud, source="arn:aws:events:us-east-1:123456789012:rule/another")
        cloud.client("s3").put_object(Bucket="papers", Key="documents/a.md", Body=b"a")
        (failure,) = until(lambda: cloud.state(Bus).failures)
        assert "the queue's policy does not let the rule send" in failure
        assert chain.left() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"BatchSize": 100}, "Maximum batch window in seconds must be greater than 0"),
        ({"BatchSize": 10_001, "MaximumBatchingWindowInSeconds": 1}, "out of range"),
        ({"MaximumBatchingWindowInSeconds": 301}, "out of range"),
    ],
)
def test_a_mapping_beyond_lambdas_limits_is_refused(
    chain: Chain, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        chain.map(**options)


def test_a_role_that_may_not_read_the_queue_is_refused(chain: Chain) -> None:
    iam = chain.cloud.client("iam")
    iam.delete_role_policy(RoleName=chain.role.rsplit("/", 1)[-1], PolicyName="queue")
    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage on SQS"):
        chain.map()


def test_a_queue_whose_messages_come_back_too_early_is_refused(chain: Chain) -> None:
    chain.cloud.client("sqs").set_queue_attributes(QueueUrl=chain.url, Attributes={"VisibilityTimeout": "2"})
    with pytest.raises(
        ClientError, match="Queue visibility timeout: 2 seconds is less than Function timeout: 3"
    ):
        chain.map()
