"""Chunks of fixed size, with an overlap.

Bedrock does not say how it counts tokens. Here four characters of a word are one, as usual for English, and a chunk
ends with a word. A page of a PDF begins a new chunk, so that each chunk has one page number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from local.aws.kernel.api import Params
from local.aws.services.bedrock_agent.parsing import Page

DEFAULT_TOKENS = 300
DEFAULT_OVERLAP_PERCENT = 20
CHARACTERS_PER_TOKEN = 4
PIECE = re.compile(r"\S{1,64}\s*")
"""A word with the space after it. Text without spaces is cut after as many characters."""


@dataclass(frozen=True)
class Chunk:
    text: str
    page: float | None = None  # from 0, of a PDF


def cut(pages: list[Page], configuration: Params) -> list[Chunk]:
    """Return the chunks of a document, by the chunking configuration of its data source; none without text."""
    if configuration.get("chunkingStrategy") == "NONE":
        # Without chunking Bedrock knows no page numbers.
        text = "\n".join(page.text for page in pages).strip()
        return [Chunk(text)] if text else []
    fixed = configuration.get("fixedSizeChunkingConfiguration") or {}
    tokens = fixed.get("maxTokens", DEFAULT_TOKENS)
    overlap = tokens * fixed.get("overlapPercentage", DEFAULT_OVERLAP_PERCENT) // 100
    return [
        Chunk(text, None if page.number is None else float(page.number))
        for page in pages
        for text in _pieces_of(page.text, tokens, overlap)
    ]


def _pieces_of(text: str, tokens: int, overlap: int) -> Iterator[str]:
    """Parts of a text of at most so many tokens, each of which repeats the end of the one before."""
    pieces = PIECE.findall(text)
    sizes = [tokens_of(each) for each in pieces]
    begin = 0
    while begin < len(pieces):
        end, size = begin, 0
        while end < len(pieces) and (end == begin or size + sizes[end] <= tokens):
            size += sizes[end]
            end += 1
        yield "".join(pieces[begin:end]).strip()
        if end == len(pieces):
            return
        begin = _back(sizes, begin, end, overlap)


def _back(sizes: list[int], begin: int, end: int, overlap: int) -> int:
    """The first of the last pieces that together have the overlap's size, always after the chunk's begin."""
    start, size = end, 0
    while start - 1 > begin and size + sizes[start - 1] <= overlap:
        start -= 1
        size += sizes[start]
    return start


def tokens_of(word: str) -> int:
    """Tokens of one word."""
    return max(1, -(-len(word.rstrip()) // CHARACTERS_PER_TOKEN))
