"""The synthesized stacks in a local AWS, with the demo's users and claims, for all tests of decisions."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from demo import seed
from local.aws.server import LocalAws
from local.run.deploy import deploy
from local.run.synthesis import synthesize
from local.run.up import use_as_environment
from tests.authorization.deployed import Deployed
from tests.documented import documented  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("desk")
    synthesize(directory / "cdk.out", context={"profile": "dev"})
    kept = dict(os.environ)
    with LocalAws(port=0, directory=directory) as cloud:
        outputs = deploy(cloud, directory / "cdk.out").outputs
        use_as_environment(cloud)
        try:
            yield Deployed(cloud, outputs, seed.main(outputs))
        finally:
            os.environ.clear()
            os.environ.update(kept)
