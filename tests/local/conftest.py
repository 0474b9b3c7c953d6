"""One local AWS for the tests of a module."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.cognito.grants import Grants
from tests.local.sign_in_client import Browser, SignInPool

if TYPE_CHECKING:
    from tests.local.knowledge import Shelf

SHELVES = itertools.count()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    with LocalAws(port=0, enforce=False, directory=directory) as running:
        yield running


@pytest.fixture(scope="module")
def enforcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Return a cloud that holds every call of a role to its policies."""
    with LocalAws(port=0, directory=tmp_path_factory.mktemp("enforcing")) as running:
        yield running


@pytest.fixture
def shelf(enforcing: Cloud, request: pytest.FixtureRequest) -> Shelf:
    """Return a knowledge base for one test, with a data source and the documented permissions."""
    from tests.local.knowledge import Shelf

    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = Shelf(enforcing, f"{name}-{next(SHELVES)}")
    made.grant()
    return made.open()


@pytest.fixture(scope="module")
def pool(cloud: Cloud) -> SignInPool:
    """Return a user pool with managed login."""
    return SignInPool(cloud)


@pytest.fixture
def visitor(pool: SignInPool) -> Browser:
    """Return a browser in which nobody is signed in yet."""
    return Browser(pool)


@pytest.fixture
def later(cloud: Cloud) -> Iterator[Callable[[float], None]]:
    """Move the clock of the sign-ins."""
    grants = cloud.state(Grants)

    def move(seconds: float) -> None:
        before = grants.clock
        grants.clock = lambda: before() + seconds

    yield move
    grants.clock = time.time
