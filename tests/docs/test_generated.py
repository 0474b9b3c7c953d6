"""Generated parts of pages are what their scripts make of the code now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from docs.site import dataset_columns, http_api, settings_reference
from docs.site.generated import filled

PAGES: dict[Path, Callable[[], Mapping[str, str]]] = {
    each.PAGE: each.parts for each in (dataset_columns, http_api, settings_reference)
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_fresh(page: Path) -> None:
    remedy = f"{page.name} is stale: make schema"
    assert filled(page.read_text("utf-8"), PAGES[page]()) == page.read_text("utf-8"), remedy


def test_a_part_without_a_place_is_an_error() -> None:
    with pytest.raises(KeyError, match="routes"):
        filled("# Page\n", {"routes": "| a |"})


def test_filling_again_changes_nothing() -> None:
    text = "<!-- generated: a -->\nold\n<!-- end -->\n<!-- generated: b -->\n<!-- end -->\n"
    once = filled(text, {"a": "1", "b": r"2\n"})
    assert once == (
        "<!-- generated: a -->\n\n1\n\n<!-- end -->\n<!-- generated: b -->\n\n2\\n\n\n<!-- end -->\n"
    )
    assert filled(once, {"a": "1", "b": r"2\n"}) == once
