"""Texts that are the most work to read, and their way through the assistant."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGenerationChunk

from checks.bench.guardrail_parts import Instant
from fmops.capture.record import encode
from fmops.conversation.chat_request import ChatRequest
from fmops.conversation.refusals import BadRequestError
from fmops.guardrails import Direction, GuardrailEngine, GuardrailSettings, begin_turn
from fmops.guardrails.chunking import Limits
from fmops.guardrails.flow import flow_sync
from fmops.guardrails.vetting import Vetting
from fmops.interaction import Interaction
from fmops.surrogates import mended

LENGTH = 200_000
STREAMED = 20_000
"""Characters of an answer: more than the 4,096 tokens of output that a deployment allows by default."""
PIECE = 4
"""Characters of a piece of a streamed answer, about a token."""
CELL = 20
"""Characters of each text in a table."""
MIXTURES = 24
REMEASURED = 4
UNITS = (
    "a", "=", "1", "4 ", "4111 ", "4111-", "536-22-8726 ", "DE89370400440532013000 ", " ", '"', "\n", ".", "-",
    "//", "M", "sk-", "eyJ",
    "eyJa.", "aws", "aws key", "api_key=", "key= ", "key ", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----",
    "xoxb-1-", "://a:",
    "//a/:_authToken=", "AKIAIOSFODNN7EXAMPLE", "DE89 ", "password ", "ibm_cos_", "1&nbsp;", "O0 ", "\u5b57",
    "a\u0301", "a\u0301\u0323",
    "\u0301\u0323", "\u200b", "a\u200b", "\U000e0041", "a\U000e0041", "\u202e12345", "\u200fa", "\u0430",
    "\ufdfa", "a\u2800", "\u0664",
    "\U0001f468\u200d", "\U0001f3f4\U000e0067",
    "password is 1 ", "password: \"x1", "jane@mail.example ", "4111 1111 1111 1111 ", "1.", "9" * 20 + " ", "\\u0031",
    "%20", "a. B", "[1](", "{\"a\":", "<a ", "&#49;", "data:image/png;base64,", "arn:aws:s3:::a ", "\ud83d", "\x00",
    "\u0130", "IBAN ", "ssn ", "Abcd. Efgh ",
    "1111111111111 ", "'" + "A" * 40 + "'", "x" * 64 + " ", "\u0430a ", "(", "\t",
)  # fmt: skip
"""Pieces that the patterns and tables of the guardrails begin with, repeat or look for."""


class Segmented(Instant):
    """An instant detector with the smallest segments of any service (Comprehend's toxicity)."""

    limits = Limits(segment_bytes=1_000, segments=10, request_bytes=10_000, overlap_characters=80)


def engine() -> GuardrailEngine:
    """Return an engine with the secrets' detector and two instant ones, that never knows a text already."""
    from fmops.guardrails.detectors.secrets import Secrets

    client: Any = None
    detectors: list[Any] = [Secrets("secrets", client), Instant("pii", client), Segmented("toxicity", client)]
    settings = GuardrailSettings.model_validate({"cache_entries": 0, "deadline_ms": 60_000})
    made = GuardrailEngine(detectors, settings=settings)
    made.check_sync("Load the patterns, and the model that tells the language of a text.", "input")
    return made


def texts() -> Iterator[tuple[str, str]]:
    """Yield a name and a text of ``LENGTH`` characters: each unit repeated, and mixtures of units."""
    for unit in UNITS:
        yield ascii(unit), (unit * (LENGTH // len(unit) + 1))[:LENGTH]
    chance = random.Random(7)
    for number in range(MIXTURES):
        chosen = chance.sample(UNITS, 2 + number % 5)
        drawn = "".join(chance.choices(chosen, k=LENGTH // min(map(len, chosen)) + 1))
        yield f"a mixture of {chosen!a}", drawn[:LENGTH]


def ways(made: GuardrailEngine) -> dict[str, Callable[[str], Any]]:
    """Return what the assistant does with a text, by where it comes from."""
    vetting = Vetting(made)

    def asked(text: str) -> None:
        begin_turn()
        body = {"model": "claims-desk", "messages": [{"role": "user", "content": text}]}
        with suppress(BadRequestError):  # a blank text is refused
            said = ChatRequest.model_validate(mended(body)).messages[-1].text
            encode(Interaction(input=made.check_sync(said, Direction.INPUT).text))

    def found(text: str) -> None:
        vetting.result_sync(ToolMessage(text, tool_call_id="c1"))

    def listed(text: str) -> None:
        rows = [{"name": text[begin : begin + CELL]} for begin in range(0, LENGTH, CELL)]
        vetting.data_sync({"rows": rows}, Direction.TOOL_RESULTS)

    def answered(text: str) -> None:
        pieces = (text[begin : begin + PIECE] for begin in range(0, STREAMED, PIECE))
        chunks = (ChatGenerationChunk(message=AIMessageChunk(content=each)) for each in pieces)
        try:
            list(flow_sync(made, chunks))
        except Exception as error:
            raise RuntimeError(f"the stream of {text[:20]!a} failed") from error

    return {
        "as a question": asked,
        "as a tool's result": found,
        "as a table": listed,
        f"streamed, {STREAMED:,} characters": answered,
    }


def cpu(run: Callable[[], Any]) -> float:
    """Return the seconds of CPU of all threads."""
    began = time.process_time()
    run()
    return time.process_time() - began


def worst() -> dict[str, tuple[float, str]]:
    """Return, for each way, the CPU seconds of the text that takes longest, and its name.

    All are measured once; the longest ones are measured twice more, and their shortest time counts.
    """
    given: Sequence[tuple[str, str]] = list(texts())
    found = {}
    for way, read in ways(engine()).items():
        times = {name: cpu(partial(read, text)) for name, text in given}
        slowest = sorted(times, key=lambda name: times[name])[-REMEASURED:]
        again = [
            (min(times[name], *(cpu(partial(read, text)) for _ in range(2))), name)
            for name, text in given
            if name in slowest
        ]
        found[way] = max(again)
    return found
