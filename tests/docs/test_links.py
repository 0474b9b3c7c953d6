"""Every link between the repository's own pages works, and every page of the docs can be reached from their
index.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
]
LINK = re.compile(r"!?\[[^\]]*\](?:\(|: (?=\S+$))([^)\s]+)", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    return LINK.findall(CODE.sub("", FENCED.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no heading makes this anchor"


def test_every_page_of_the_docs_is_found_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    reached, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        local = [link.partition("#")[0] for link in links(page) if "://" not in link]
        waiting += [
            found
            for link in local
            if link.endswith(".md") and (found := (page.parent / link).resolve()).exists()
        ]
    assert [page.name for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in reached] == []
