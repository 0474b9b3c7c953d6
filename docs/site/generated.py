"""Generated parts of pages: each stands between two comments that name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return a page's text with each part between its comments. ``KeyError`` names a part without a place."""
    for name, part in parts.items():
        place = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = place.search(text)
        if found is None:
            raise KeyError(name)
        text = f"{text[: found.start()]}{found[1]}\n{part}\n\n{found[2]}{text[found.end() :]}"
    return text


def update(page: Path, parts: Mapping[str, str]) -> None:
    """Write the parts into a page."""
    page.write_text(filled(page.read_text("utf-8"), parts), "utf-8")
