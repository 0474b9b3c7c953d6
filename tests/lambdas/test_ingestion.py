"""The function that starts ingestions: messages that come, come back, and are watched."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.lambdas.answers import Json
from tests.lambdas.knowledge import BASE, DOCUMENTS, FOLDER, JOB, MANIFEST, SOURCE, World, world

__all__ = ["world"]


def event(name: str = "Object Created", key: str = "documents/hail.md") -> Json:
    """Return S3's event as EventBridge delivers it (S3 User Guide, "EventBridge event message structure")."""
    return {
        "version": "0",
        "detail-type": name,
        "source": "aws.s3",
        "detail": {"version": "0", "bucket": {"name": DOCUMENTS}, "object": {"key": key}},
    }


def test_a_burst_of_changes_starts_one_job_which_is_watched(world: World) -> None:
    batch = world.receive(
        *(event(key=f"documents/{number}.md") for number in range(5)), event("Object Deleted")
    )
    assert world.handle(batch) == {"batchItemFailures": []}
    assert world.bedrock.calls("StartIngestionJob") == [{"knowledgeBaseId": BASE, "dataSourceId": SOURCE}]
    assert world.waiting() == (0, 1, 6)  # The watch is delayed; Lambda deletes the six.


@pytest.mark.parametrize(
    "refused", ["ConflictException", "ThrottlingException", "ServiceQuotaExceededException"]
)
def test_changes_that_meet_a_running_job_come_back_and_are_never_dropped(world: World, refused: str) -> None:
    world.refused = refused
    batch = world.receive(event(), event(key="documents/storm.md"))
    failed = {each["itemIdentifier"] for each in world.handle(batch)["batchItemFailures"]}
    assert failed == {each["messageId"] for each in batch["Records"]}
    assert world.waiting() == (0, 0, 2)


def test_a_message_comes_back_later_each_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.refused = "ConflictException"
    waits: list[int] = []
    world.sqs.meta.events.register(
        "before-parameter-build.sqs.ChangeMessageVisibilityBatch",
        lambda params, **_: waits.extend(each["VisibilityTimeout"] for each in params["Entries"]),
    )
    batch = world.receive(event())
    for received in (1, 2, 14, 15, 99):
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(received)
        world.handle(batch)
    assert waits == [15, 30, 210, 225, 900]


def test_another_error_is_not_taken_for_a_running_job(world: World) -> None:
    world.refused = "AccessDeniedException"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        world.handle(world.receive(event()))


def test_a_person_is_told_the_job_or_that_one_runs(world: World) -> None:
    assert world.handle({"action": "ingest"}) == {"job": JOB}
    assert world.waiting() == (0, 1, 0)
    world.refused = "ConflictException"
    assert world.handle({"action": "ingest"}) == {"conflict": True}
    with pytest.raises(ValueError, match="neither a batch"):
        world.handle({"action": "ingset"})


@pytest.mark.parametrize("body", ["not JSON", "[1]", {"detail-type": "Object Restored"}])
def test_a_message_of_another_kind_is_kept_for_the_dead_letters(world: World, body: Any) -> None:
    assert len(world.handle(world.receive(body))["batchItemFailures"]) == 1
    assert world.bedrock.asked == []


@pytest.mark.parametrize("status", ["STARTING", "IN_PROGRESS", "STOPPING"])
def test_a_running_job_is_watched_again_without_a_receive(world: World, status: str) -> None:
    world.job["status"] = status
    assert world.watch() == {"batchItemFailures": []}
    assert world.waiting() == (0, 1, 1)
    assert world.written() == []


def test_a_watch_that_fails_holds_up_no_other(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    batch = world.receive({"watch": "BROKEN1234"}, {"watch": "GONE123456"}, {"watch": JOB}, event())
    failed = world.handle(batch)["batchItemFailures"]
    assert failed == [{"itemIdentifier": batch["Records"][0]["messageId"]}]
    assert MANIFEST in world.written()
    assert len(world.bedrock.calls("StartIngestionJob")) == 1
    assert "job BROKEN1234 could not be checked: ClientError Oops at ingestion.py:" in capsys.readouterr().out


def test_the_handler_gives_the_event_to_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "handler", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    handler = importlib.import_module("handler")
    assert handler.__file__ == str(FOLDER / "handler.py")
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(handler.clients, "bedrock-agent", world.bedrock.client)
    assert handler.handler({"action": "ingest"}, None) == {"job": JOB}
    monkeypatch.delitem(sys.modules, "handler")
