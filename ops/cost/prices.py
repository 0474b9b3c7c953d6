"""The list of prices, typed: a price that is missing or no number stops with its name."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

FILE = Path(__file__).with_name("prices.toml")


class Request(BaseModel):
    """What an ordinary request does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_calls: NonNegativeFloat
    input_tokens: NonNegativeFloat
    output_tokens: NonNegativeFloat
    question_characters: NonNegativeFloat
    answer_characters: NonNegativeFloat
    tool_characters: NonNegativeFloat
    tool_calls: NonNegativeFloat
    embedding_tokens: NonNegativeFloat
    record_kb: NonNegativeFloat
    log_kb: NonNegativeFloat
    seconds: NonNegativeFloat
    series: NonNegativeFloat


class Prices(BaseModel):
    """`of("kms", "key")` is the price of that name."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    region: str
    hours: NonNegativeFloat
    request: Request
    free: dict[str, str]
    unpriced: dict[str, str]
    listed: dict[str, Any]

    def of(self, *names: str) -> float:
        """A price by its names in the file; LookupError names the one that is not there."""
        value: Any = self.listed
        for name in names:
            if not isinstance(value, dict) or name not in value:
                raise LookupError(f"{FILE.name} has no price '{'.'.join(names)}': add it there")
            value = value[name]
        return float(value)

    def hourly(self, *names: str) -> float:
        """What an hourly price comes to in a month."""
        return self.hours * self.of(*names)


def read(file: Path = FILE) -> Prices:
    """The prices of a file."""
    listed = tomllib.loads(file.read_text())
    return Prices(**listed, listed=listed)
