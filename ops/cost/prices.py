"""The list of prices, typed: a price that is missing or not a number raises an error that names it."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat

FILE = Path(__file__).with_name("prices.toml")


class Request(BaseModel):
    """The size of an ordinary request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_calls: NonNegativeFloat
    input_tokens: NonNegativeFloat
    output_tokens: NonNegativeFloat
    question_characters: NonNegativeFloat
    answer_characters: NonNegativeFloat
    tool_characters: NonNegativeFloat
    tool_calls: NonNegativeFloat
    document_batches: NonNegativeFloat
    embedding_tokens: NonNegativeFloat
    record_kb: NonNegativeFloat
    log_kb: NonNegativeFloat
    seconds: NonNegativeFloat
    series: NonNegativeFloat


class Document(BaseModel):
    """The size of an ordinary document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pages: NonNegativeFloat
    page_tokens: NonNegativeFloat
    chunk_metadata_kb: NonNegativeFloat
    thousand_seconds: NonNegativeFloat


class Prices(BaseModel):
    """The prices, such as `of("kms", "key")`."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    region: str
    hours: NonNegativeFloat
    request: Request
    document: Document
    free: dict[str, str]
    unpriced: dict[str, str]
    listed: dict[str, Any]

    def of(self, *names: str) -> float:
        """Return a price by its names in the file. Raises LookupError, which names a missing one."""
        value: Any = self.listed
        for name in names:
            if not isinstance(value, dict) or name not in value:
                raise LookupError(f"{FILE.name} has no price '{'.'.join(names)}': add it there")
            value = value[name]
        return float(value)

    def hourly(self, *names: str) -> float:
        """Return the monthly amount of an hourly price."""
        return self.hours * self.of(*names)


def read(file: Path = FILE) -> Prices:
    """Return the prices of a file."""
    listed = tomllib.loads(file.read_text())
    return Prices(**listed, listed=listed)
