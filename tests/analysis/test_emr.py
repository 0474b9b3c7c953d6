"""Runs of the Spark engine on EMR Serverless: awaited, and stopped once nobody waits any longer."""

from __future__ import annotations

from typing import Any

import pytest

from fmops.analysis.elsewhere import EngineError
from fmops.analysis.emr import ENTRY_POINT, LONGEST_WAIT, EmrServerless


class Client:
    """The part of boto3's client that is used; tests/local has the local service."""

    def __init__(self, *states: str, details: str = "") -> None:
        self.states, self.details = list(states), details
        self.started: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    def start_job_run(self, **request: Any) -> dict[str, str]:
        self.started.append(request)
        return {"jobRunId": "run-1"}

    def get_job_run(self, **_: str) -> dict[str, Any]:
        return {"jobRun": {"state": self.states.pop(0), "stateDetails": self.details}}

    def cancel_job_run(self, **request: str) -> None:
        self.cancelled.append(request["jobRunId"])


def engine(client: Client, sleep: Any = lambda _: None) -> EmrServerless:
    return EmrServerless(client, application_id="app-1", role_arn="arn:role", hours=2, sleep=sleep)


def test_a_run_is_waited_for_with_growing_patience() -> None:
    client, waits = Client("SUBMITTED", *["RUNNING"] * 30, "SUCCESS"), []
    engine(client, waits.append)(["--lake", "bucket"])
    (request,) = client.started
    submit = request["jobDriver"]["sparkSubmit"]
    assert (submit["entryPoint"], submit["entryPointArguments"]) == (ENTRY_POINT, ["--lake", "bucket"])
    assert (request["executionRoleArn"], request["executionTimeoutMinutes"]) == ("arn:role", 120)
    assert (waits[0], waits[-1], len(waits)) == (1, LONGEST_WAIT, 31)
    assert client.cancelled == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_run_that_did_not_succeed_says_why(state: str) -> None:
    with pytest.raises(EngineError, match=f"run run-1 of application app-1 is {state}: no disk"):
        engine(Client("RUNNING", state, details="no disk"))([])


def test_an_interrupted_wait_stops_the_run() -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    client = Client("RUNNING", "RUNNING")
    with pytest.raises(KeyboardInterrupt):
        engine(client, interrupt)([])
    assert client.cancelled == ["run-1"]
