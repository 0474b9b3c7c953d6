"""The review chapter's two ways to the page: its HTTP API where there is no browser, and a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo import browser as browsers
from demo.review import BrowserPage, HttpPage, Page, work
from fmops.review.labels import State
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import ReviewTask
from tests.pages import token, use_token
from tests.review.conftest import empty_store, make_task, review, uri
from tests.review.page import make_app
from tests.served import served

__all__ = ["empty_store", "make_task", "review", "uri"]

Make = Callable[..., ReviewTask]
REVIEWERS = ("rita", "ravi")


def label_all(review: MlflowReview, make_task: Make, page: Callable[[str, str], Page]) -> None:
    review.submit([make_task(question=f"Question {number}?") for number in range(3)])
    with served(make_app(review)) as address:
        work({name: page(address, name) for name in REVIEWERS})
    reviewed = review.reviewed()
    assert len(reviewed) == 3
    assert {each.state for each in reviewed} <= {State.SETTLED, State.DISAGREED}


def test_without_a_browser_two_people_label_every_task(review: MlflowReview, make_task: Make) -> None:
    label_all(review, make_task, lambda address, name: HttpPage(address, token(name)))


@pytest.mark.browser
def test_in_a_browser_two_people_label_every_task(
    browser: Any, review: MlflowReview, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsers, "sign_in", use_token)
    label_all(review, make_task, lambda address, name: BrowserPage(browser, address, name))


def test_a_run_can_be_told_to_do_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browsers.VARIABLE, "none")
    assert browsers.find() is None


def test_the_browser_on_the_path_comes_before_the_packaged_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(browsers.VARIABLE, raising=False)
    monkeypatch.setattr(browsers, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browsers.find() is None
    for folder in (tmp_path / "packaged", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "chromium").touch(mode=0o755)
        found = browsers.find()
        assert found is not None
        assert found.path == str(folder / "chromium")
