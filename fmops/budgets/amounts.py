"""Units that are counted: requests, tokens, and money in millionths of a USD, which add up without rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from langchain_core.messages.ai import UsageMetadata

from fmops.telemetry.prices import Price, prices

BYTES_PER_TOKEN = 3
"""Bytes of UTF-8 per token, chosen so that estimates err on the high side: English has about four, JSON and
Chinese about three."""
PER_MESSAGE = 8
"""Extra tokens counted for each message."""
MICRO = 1_000_000


class Unit(StrEnum):
    """The unit of a limit; the values are the attributes of a counter's item."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MONEY = "micro_usd"

    @property
    def label(self) -> str:
        """Return the unit's name in metrics."""
        return "usd" if self is Unit.MONEY else self.value


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of each unit."""

    requests: int = 0
    tokens: int = 0
    micro_usd: int = 0

    def of(self, unit: Unit) -> int:
        value: int = getattr(self, unit.value)
        return value

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.requests - other.requests, self.tokens - other.tokens, self.micro_usd - other.micro_usd
        )

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.requests + other.requests, self.tokens + other.tokens, self.micro_usd + other.micro_usd
        )


def estimated_tokens(texts: Iterable[str]) -> int:
    """Return the maximum number of tokens in the texts, estimated from their length."""
    return sum(PER_MESSAGE + -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN) for text in texts)


def micro_usd(model_id: str, usage: UsageMetadata) -> int:
    """Return the list price of a model call in millionths of a USD, rounded up.

    A model that is missing from the price file costs as much as the dearest one in it, so that a budget of
    money binds it too.
    """
    price = prices().price(model_id) or dearest()
    # Rounded first, so that a sum such as 3.0000000000000004 counts as 3.
    return math.ceil(round(sum(price.of(usage).values()) * MICRO, 6))


def at_most(model_id: str, input_tokens: int, output_tokens: int) -> Amount:
    """Return the maximum that one model call can use: all of its input, written to the prompt cache, and the
    longest answer."""
    price = prices().price(model_id) or dearest()
    paid = input_tokens * max(price.input, price.cache_write) + output_tokens * price.output
    return Amount(tokens=input_tokens + output_tokens, micro_usd=math.ceil(round(paid, 6)))


def spent(model_id: str, usage: UsageMetadata) -> Amount:
    """Return what a model call used, from the usage that the model reported."""
    tokens = usage["input_tokens"] + usage["output_tokens"]
    return Amount(tokens=tokens, micro_usd=micro_usd(model_id, usage))


def dearest() -> Price:
    """Return the dearest price of the price file."""
    return max(prices().models.values(), key=lambda price: (price.output, price.input))
