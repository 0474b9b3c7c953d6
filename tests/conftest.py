"""A real browser for the tests of pages."""

from collections.abc import Iterator
from typing import Any

import pytest

import nodejs  # noqa: F401 - before anything of the CDK: it finds Node on a machine without one
from demo import browser as browsers


@pytest.fixture
def browser() -> Iterator[Any]:
    """A browser without a window (`playwright.sync_api.Browser`); without one on this machine the test is skipped."""
    found = browsers.find()
    if found is None:
        pytest.skip(f"needs a browser: {browsers.REMEDY}")
    with browsers.opened(found) as opened:
        yield opened
