"""The documentation site turns links between files into links between its pages; `make docs` builds it
strictly.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.site.pages import MOVED, expanded, rewritten

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "docs/capture.md", "capture.md"),
        ("index.md", "docs/design/README.md", "design/README.md"),
        ("index.md", "constructs/README.md", "constructs.md"),
        ("deploy.md", "guardrails.md", "guardrails.md"),
        ("deploy.md", "../README.md", "index.md"),
        ("deploy.md", "../constructs/README.md#network", "constructs.md#network"),
        ("contents.md", "runbooks/CaptureLost.md", "runbooks/CaptureLost.md"),
        ("constructs.md", "../docs/api/constructs/data.md#datalake", "api/constructs/data.md#datalake"),
        ("design/README.md", "../../CHANGELOG.md", "../changelog.md"),
        ("api/README.md", "../guardrails.md", "../guardrails.md"),
        ("deploy.md", "#networks", "#networks"),
        ("deploy.md", "https://example.com/docs/x.md", "https://example.com/docs/x.md"),
    ],
)
def test_links_between_files_become_links_between_pages(page: str, link: str, expected: str) -> None:
    assert rewritten(f"See [this]({link}).", page) == f"See [this]({expected})."


def test_definitions_of_links_are_rewritten_and_code_is_not() -> None:
    text = "[a]: ../README.md\n\n```md\n[a](../README.md)\n```\n"
    assert rewritten(text, "deploy.md") == "[a]: index.md\n\n```md\n[a](../README.md)\n```\n"


def test_a_folder_in_the_navigation_becomes_its_pages_readme_first() -> None:
    records = sorted(path.name for path in (ROOT / "docs/design").glob("*.md") if path.name != "README.md")
    expected = ["design/README.md", *(f"design/{name}" for name in records)]
    assert expanded([{"Design": "design/"}]) == [{"Design": expected}]
    assert expanded([{"Design": ["index.md", "design/"]}]) == [{"Design": ["index.md", *expected]}]


@pytest.mark.parametrize("source", MOVED)
def test_pages_from_outside_of_docs_are_there(source: str) -> None:
    assert (ROOT / source).exists()
