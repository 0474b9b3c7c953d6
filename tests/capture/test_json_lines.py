"""JSON lines end only at a line feed, wherever the project reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmops import json_lines

ROOT = Path(__file__).parents[2]
SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"


@given(st.lists(st.text(st.sampled_from(SEPARATORS + 'a\n"\\'))))
def test_what_was_written_is_read(texts: list[str]) -> None:
    written = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    assert [json.loads(line) for line in json_lines.split(written)] == texts
    assert [json.loads(line) for line in json_lines.split(written.encode())] == texts
    assert "".join(json_lines.split(written, keepends=True)) == written


@pytest.mark.parametrize(
    ("text", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("\na\n\nb", ["", "a", "", "b"])]
)
def test_an_end_makes_no_line_of_its_own(text: str, lines: list[str]) -> None:
    assert json_lines.split(text) == lines


def test_nothing_else_in_the_runtime_cuts_lines() -> None:
    elsewhere = {
        "fmops/assistant/openapi.py",
        "fmops/drafting/publication.py",
        "fmops/evaluation/registry.py",
    }  # docstrings, documents and prompts, not JSON
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "fmops").rglob("*.py")
        if "splitlines(" in path.read_text()
    }
    assert found - elsewhere == set()
