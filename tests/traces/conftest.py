"""A local AWS in which Transaction Search is off, and one in which it is on and indexes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with LocalAws(port=0, enforce=False, directory=tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with LocalAws(port=0, enforce=False, directory=tmp_path_factory.mktemp("searched")) as running:
        search(running)
        yield running


def search(cloud: Cloud) -> None:
    xray = cloud.client("xray")
    xray.update_trace_segment_destination(Destination="CloudWatchLogs")
    xray.update_indexing_rule(Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": 0}})
