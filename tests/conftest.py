"""A real browser for the tests of pages, and the grouping of tests in a parallel run."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

import stacks.nodejs  # noqa: F401 - before anything of the CDK: it finds Node on a machine without one
from demo import browser as browsers

TOGETHER = {
    "authorization": "authorization",
    **dict.fromkeys(("stacks", "constructs", "settings", "ops"), "synthesized"),
}
"""Groups of folders whose tests share templates, or one local AWS, which another one in the process would
empty.
"""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """A scheduler that gives all tests of a file, or of a folder of ``TOGETHER``, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        folder = path.split("/")[1]
        return TOGETHER.get(folder, path)


def pytest_collection_finish() -> None:
    """Spare what the imports made, and most of what service models make, from garbage collections: each of those that
    look through everything takes a second, and they are a sixth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries complain at the end about what nobody could collect


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    return ByFile(config, log)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A browser without a window (`playwright.sync_api.Browser`); without one on this machine the test is skipped."""
    found = browsers.find()
    if found is None:
        pytest.skip(f"needs a browser: {browsers.REMEDY}")
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)  # on a busy machine a page takes longer than Playwright's five seconds
    with browsers.opened(found) as opened:
        yield opened
