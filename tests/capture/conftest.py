"""The local AWS, whose Firehose and S3 the records go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory, run_servers=False) as running:
        yield running
