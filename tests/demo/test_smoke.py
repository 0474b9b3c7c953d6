"""What `make smoke` says when there is nothing to send a tour to."""

from __future__ import annotations

import pytest

from demo import __main__ as smoke
from local.cloud import Cloud


@pytest.fixture(autouse=True)
def _aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke.boto3, "client", cloud.client)
    monkeypatch.setattr("sys.argv", ["demo", "--environment", "fmops-nothing"])


def test_an_environment_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main() == 2
    assert "fmops-nothing is not deployed in this account and region" in capsys.readouterr().err


def test_an_address_without_an_assistant_is_refused_with_a_remedy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke, "stack_outputs", lambda _: {})
    monkeypatch.setattr("sys.argv", ["demo", "--url", "http://localhost:9"])
    assert smoke.main() == 2
    assert "is the load balancer internal" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["demo", "--url", cloud.endpoint])
    assert smoke.main() == 2
    assert "give the assistant's own address" in capsys.readouterr().err
