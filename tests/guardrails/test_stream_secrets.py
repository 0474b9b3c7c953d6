"""Nothing that redaction of the whole text would remove leaves in a stream, whatever its pieces are."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmops.guardrails import Direction
from fmops.guardrails.detectors.base import Context
from fmops.guardrails.detectors.secrets import Secrets
from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.text import fold, merge, redact
from fmops.guardrails.windows import Lane
from tests.guardrails.planted_numbers import answer

DETECTOR = Secrets("secrets", None)  # type: ignore[arg-type]
CONTEXT = Context(Direction.OUTPUT, "assistant", "en", DETECTOR.categories)
CHUNKINGS = 3000


def redactions(text: str):  # type: ignore[no-untyped-def]
    """Return the redactions as the engine makes them."""
    folded = fold(text)
    (found,) = DETECTOR.detect([folded.text], CONTEXT)
    return tuple(merge((folded.unfold(each) for each in found), folded.removals))


def released(text: str, rng: random.Random, stream: StreamSettings) -> tuple[str, int]:
    lane, made, begin = Lane("", stream), [], 0
    most = rng.choice([1, 3, 8, 40, 400, 4000])
    while begin < len(text):
        size = rng.randint(1, most)
        if window := lane.append(text[begin : begin + size]):
            made.append(window)
        begin += size
    if last := lane.finish():
        made.append(last)
    return "".join(lane.release(window, redactions(window.text)) for window in made), len(made)


def stream_of(rng: random.Random) -> StreamSettings:
    return StreamSettings(
        first=rng.choice([1, 20, 120]),
        growth=rng.choice([1.0, 1.5, 2.0]),
        largest=rng.choice([20, 100, 400, 1200]),
        lookahead=rng.choice([0, 64, 100]),
        context=rng.choice([0, 64, 160]),
    )


def compare(seed: int) -> int:
    rng = random.Random(seed)
    text = answer(rng)
    streamed, windows = released(text, rng, stream_of(rng))
    assert unnamed(streamed) == unnamed(redact(text, redactions(text))), (seed, text)
    return windows


def unnamed(text: str) -> str:
    """Return the text without the names of findings: which of two overlapping findings gives its name may
    depend on hidden characters."""
    return re.sub(r"\[[A-Z_]{4,}\]", "[X]", text)


@pytest.mark.parametrize("part", range(10))
def test_random_chunkings_release_what_the_whole_texts_redaction_leaves(part: int) -> None:
    windows = [compare(part * CHUNKINGS // 10 + number) for number in range(CHUNKINGS // 10)]
    assert sum(windows) > 1.5 * len(windows), "the texts are cut at all"


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=10**9))
def test_any_chunking_releases_what_the_whole_texts_redaction_leaves(seed: int) -> None:
    compare(seed)


def test_a_key_is_held_until_its_end() -> None:
    lines = "\n".join("A" * 64 for _ in range(100))
    text = (
        f"Here it is:\n-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----\n"
        + "All is well. " * 40
    )
    streamed, windows = released(text, random.Random(1), StreamSettings())
    assert streamed == "Here it is:\n[PRIVATE_KEY]\n" + "All is well. " * 40
    assert windows > 1


@pytest.mark.parametrize(
    "unit",
    [
        "\u60a8\u7684\u7533\u8bf7\u5df2\u7ecf\u6279\u51c6\u6211\u4eec\u4f1a\u5c3d\u5feb\u8054\u7cfb\u60a8",
        "\u0e40\u0e23\u0e32\u0e44\u0e14\u0e49\u0e23\u0e31\u0e1a\u0e04\u0e33\u0e02\u0e2d",
        "aGVsbG8gd29ybGQ",
        "/a-path",
        "1.",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ],
)
def test_a_long_text_without_white_space_goes_out_as_it_comes(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    lane, out, lags = Lane("", StreamSettings()), 0, []
    for begin in range(0, len(text), 7):
        if window := lane.append(text[begin : begin + 7]):
            out += len(lane.release(window, ()))
        lags.append(begin + 7 - out)
    assert max(lags) < 3000
    last = lane.finish()
    assert last is not None
    assert out + len(lane.release(last, ())) == len(text)


def test_windows_of_a_long_word_look_at_each_character_a_bounded_number_of_times() -> None:
    looked = {}
    for length in (10_000, 40_000):
        lane = Lane("", StreamSettings())
        windows = [window for _ in range(length) if (window := lane.append("\u5b57"))]
        looked[length] = sum(len(window.text) for window in windows)
    assert looked[40_000] < 5 * looked[10_000]
