"""The pieces that a stream releases join to the redacted whole text, and none holds what was planted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from fmops.guardrails import Category, Direction, GuardrailEngine, GuardrailSettings
from fmops.guardrails.flow import StreamFlow, flow_sync
from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.text import redact
from fmops.guardrails.types import Redaction
from fmops.guardrails.windows import Lane
from tests.guardrails.fakes import Patterns

PLANTED = [
    "123-45-6789",
    "4111 1111 1111 1111",
    "jane.q.public@mail.example.com",
    "742 St. James Ave. Apt. 4",
    "DE89 3704 0044 0532 0130 00",
    "+44 (0)7700 900123",
    "https://example.com/" + "a/very-long-path/" * 12,
    "J. R. R. Tolkien",
    "Lindenstra\u00dfe 14",
    "\U0001f511key-9f8e7d6c5b4a",
]
SECRET = re.compile("|".join(re.escape(each) for each in sorted(PLANTED, key=len, reverse=True)))
FILLER = [
    "Your claim is open.",
    "It was paid, we think.",
    "No!",
    "A",
    "e.g.",
    "Mr.",
    "\n",
    "\n\n",
    "see the note",
    "\u00e9t\u00e9 \u4e2d\u6587\u3002",
    "3.14",
    "\U0001f600",
    "ok...",
    "(really)",
]

texts = st.lists(st.sampled_from(FILLER + PLANTED), max_size=30).map(" ".join)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=200)
windows = st.builds(
    StreamSettings,
    first=st.integers(1, 120),
    growth=st.sampled_from([1.0, 1.5, 2.0]),
    largest=st.integers(1, 400),
    lookahead=st.just(64),
    context=st.integers(64, 200),
)


def pieces(text: str, lengths: list[int]) -> list[str]:
    out, begin, turn = [], 0, 0
    while begin < len(text):
        out.append(text[begin : begin + lengths[turn % len(lengths)]])
        begin += lengths[turn % len(lengths)]
        turn += 1
    return out


def found(text: str) -> tuple[Redaction, ...]:
    return tuple(Redaction(*match.span(), "[CUSTOM_PATTERN]") for match in SECRET.finditer(text))


@settings(max_examples=400, deadline=None)
@given(texts, sizes, windows)
def test_windows_joined_are_the_redacted_text(text: str, lengths: list[int], stream: StreamSettings) -> None:
    lane = Lane("", stream)
    made = [window for piece in pieces(text, lengths) if (window := lane.append(piece))]
    if last := lane.finish():
        made.append(last)
    released = [lane.release(window, found(window.text)) for window in made]
    assert "".join(released) == redact(text, found(text))
    assert not any(SECRET.search(piece) for piece in released)


@settings(max_examples=400, deadline=None)
@given(texts, sizes, windows)
def test_every_part_is_checked_and_none_twice_released(
    text: str, lengths: list[int], stream: StreamSettings
) -> None:
    lane = Lane("", stream)
    made = [window for piece in pieces(text, lengths) if (window := lane.append(piece))]
    made += [last] if (last := lane.finish()) else []
    end = 0
    for window in made:
        assert window.begin == end
        assert window.offset <= window.begin
        assert window.offset + len(window.text) >= window.end
        end = window.end
    assert end == len(text)


@settings(max_examples=200, deadline=None)
@given(texts, sizes)
def test_words_are_never_cut(text: str, lengths: list[int]) -> None:
    lane = Lane("", StreamSettings(first=20, largest=40))
    cuts = [window.end for piece in pieces(text, lengths) if (window := lane.append(piece))]
    for cut in cuts:
        assert text[cut - 1].isspace() or text[cut - 1] in "\u3002\uff01\uff1f"


@pytest.mark.parametrize("number", ["+44 (0)7700 900123 742", "(+49) 30 901820 12", "#4111 1111 1111 1111"])
def test_the_sign_before_a_number_stays_with_it(number: str) -> None:
    text = f"No! No! {number} St. James Ave. is what they said when I asked them about it yesterday afternoon"
    lane = Lane("", StreamSettings(first=20, largest=40))
    cuts = [window.end for character in text if (window := lane.append(character))]
    assert cuts
    assert all(text[cut - 1].isspace() for cut in cuts)


def _engine() -> GuardrailEngine:
    detector = Patterns("words", {Category.CUSTOM_PATTERN: SECRET.pattern}, in_process=True)
    rules = [{"categories": ["custom_pattern"], "action": "redact"}]
    stream = {"first": 20, "largest": 80}
    options = {"rules": rules, "default_rules": False, "identify_language": False, "stream": stream}
    return GuardrailEngine([detector], settings=GuardrailSettings.model_validate(options))


ENGINE = _engine()


@settings(max_examples=60, deadline=None)
@given(texts, sizes)
def test_gated_stream_equals_offline_redaction(text: str, lengths: list[int]) -> None:
    chunks = [
        ChatGenerationChunk(message=AIMessageChunk(content=piece, id="run-1"))
        for piece in pieces(text, lengths)
    ]

    async def source() -> AsyncIterator[ChatGenerationChunk]:
        for chunk in chunks:
            yield chunk

    async def gated() -> list[str]:
        return [str(chunk.message.content) async for chunk in StreamFlow(ENGINE, source()).chunks()]

    offline = ENGINE.check_sync(text, Direction.OUTPUT).text
    for released in (
        asyncio.run(gated()),
        [str(each.message.content) for each in flow_sync(ENGINE, iter(chunks))],
    ):
        assert "".join(released) == offline
        assert not any(SECRET.search(piece) for piece in released)


def test_the_first_window_ends_with_the_first_sentence() -> None:
    lane = Lane("", StreamSettings())
    window = next(
        window
        for piece in "Your claim is open. The adjuster will call you. "
        if (window := lane.append(piece))
    )
    assert lane.text[: window.end] == "Your claim is open. "


def test_windows_grow() -> None:
    lane = Lane("", StreamSettings())
    text = "Here is one more sentence about claims. " * 200
    made = [window for piece in pieces(text, [5]) if (window := lane.append(piece))]
    sizes_made = [window.end - window.begin for window in made]
    assert sizes_made[0] == 40
    assert sizes_made == sorted(sizes_made)
    assert max(sizes_made) <= 1200
    assert len(made) < 12


def test_a_surrogate_pair_in_two_pieces_is_one_character() -> None:
    lane = Lane("", StreamSettings())
    lane.append("ok \ud83d")
    lane.append("\ude00!")
    window = lane.finish()
    assert window is not None
    assert window.text == "ok \U0001f600!"


def test_an_entity_found_across_a_released_edge_is_redacted_as_far_as_it_is_left() -> None:
    lane = Lane("", StreamSettings(first=5, lookahead=0, context=100))
    rest = "delta and " * 10
    first = lane.append("alpha beta gamma " + rest)
    assert first is not None
    released = lane.release(first, ())
    assert lane.text.startswith(released)
    last = lane.finish()
    assert last is not None
    begin, end = last.text.index("gamma"), first.end - last.offset + 3
    assert lane.release(last, (Redaction(begin, end, "[X]"),)).startswith(
        "[X]" + lane.text[first.end + 3 :][:4]
    )
