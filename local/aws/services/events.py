"""EventBridge's default bus: S3's events reach the queues that rules name, if the queue's policy lets the rule send.

moto keeps the rules and matches their patterns. Its own delivery checks no policy, and S3's events there lack the
delete markers of versioned buckets.
"""

from __future__ import annotations

import json
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from local.aws.iam.permissions import AccessDenied
from local.aws.iam.trust import permits
from local.aws.kernel.api import NotImplementedHere, ServiceState
from local.aws.kernel.cloud import Cloud, install_routes

log = logging.getLogger("local.aws.events")

PRINCIPAL = "events.amazonaws.com"
CREATED = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
}
"""Reasons of `Object Created`, by moto's names of events."""
DELETED = {
    "s3:ObjectRemoved:Delete": "Permanently Deleted",
    "s3:ObjectRemoved:DeleteMarkerCreated": "Delete Marker Created",
}
"""Deletion types of `Object Deleted`, by moto's names of events."""


class Bus(ServiceState):
    """The default bus, which delivers one event after the other, outside the call that caused it."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.failures: list[str] = []
        """Deliveries that failed, as a sentence each."""
        self._pool = ThreadPoolExecutor(1, "events")
        cloud.on_stop(lambda: self._pool.shutdown(cancel_futures=True))

    def publish(self, event: Any) -> None:
        self._pool.submit(self._deliver, event)

    def _deliver(self, event: Any) -> None:
        from moto.events.models import events_backends

        bus = events_backends[self.cloud.account][self.cloud.region].event_buses["default"]
        for rule in list(bus.rules.values()):
            if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
                for target in rule.targets:
                    self._send(rule.arn, target, event)

    def _send(self, rule: str, target: dict[str, Any], event: Any) -> None:
        try:
            if ":sqs:" not in target["Arn"]:
                raise NotImplementedHere(f"events reach SQS queues only here, not {target['Arn']}")
            if unknown := target.keys() & {"Input", "InputPath", "InputTransformer"}:
                raise NotImplementedHere(f"a target's {', '.join(sorted(unknown))}")
            self._to_queue(rule, target["Arn"], json.dumps(event))
        except Exception as error:  # noqa: BLE001 - EventBridge retries and counts; nobody waits for it
            self.failures.append(f"{rule} to {target['Arn']}: {error}")
            log.warning("%s", self.failures[-1])

    def _to_queue(self, rule: str, queue: str, message: str) -> None:
        sqs = self.cloud.client("sqs")
        url = sqs.get_queue_url(QueueName=queue.rsplit(":", 1)[-1])["QueueUrl"]
        policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        document = json.loads(policy.get("Policy") or "{}")
        allowed = permits(
            document, PRINCIPAL, "sqs:SendMessage", queue, account=self.cloud.account, source_arn=rule
        )
        if self.cloud.enforce and not allowed:
            raise AccessDenied("AccessDenied", "the queue's policy does not let the rule send")
        sqs.send_message(QueueUrl=url, MessageBody=message)


def object_event(cloud: Cloud, bucket: Any, name: str, key: Any) -> dict[str, Any]:
    """Return S3's event, as "EventBridge event message structure" of the S3 user guide has it."""
    described = {"key": key.name, "version-id": key.version_id, "sequencer": uuid.uuid4().hex[:16].upper()}
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": described,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": cloud.account,
        "source-ip-address": "127.0.0.1",
    }
    if name in CREATED:
        detail["object"] = {**described, "size": key.size, "etag": key.etag.strip('"')}
        detail["reason"] = CREATED[name]
    else:
        detail |= {"reason": "DeleteObject", "deletion-type": DELETED[name]}
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created" if name in CREATED else "Object Deleted",
        "source": "aws.s3",
        "account": cloud.account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": cloud.region,
        "resources": [f"arn:aws:s3:::{bucket.name}"],
        "detail": detail,
    }


@install_routes
def _install(cloud: Cloud) -> None:
    """Send S3's events of this cloud to its bus, until another cloud starts."""
    from moto.s3 import models, notifications

    def send(_: str, bucket: Any, event_name: Any, key: Any) -> None:
        name = str(getattr(event_name, "value", event_name))
        if name in CREATED or name in DELETED:
            cloud.state(Bus).publish(object_event(cloud, bucket, name, key))

    def set_delete_marker(self: Any, bucket_name: str, key_name: str) -> Any:
        marker = _set_delete_marker(self, bucket_name, key_name)
        bucket = self.get_bucket(bucket_name)
        configured = bucket.notification_configuration
        if configured is not None and configured.event_bridge is not None:
            send(cloud.account, bucket, "s3:ObjectRemoved:DeleteMarkerCreated", marker)
        return marker

    notifications._send_event_bridge_message = send  # type: ignore[assignment]
    models.S3Backend._set_delete_marker = set_delete_marker  # type: ignore[method-assign]


def _original() -> Any:
    from moto.s3.models import S3Backend

    return S3Backend._set_delete_marker


_set_delete_marker = _original()
