"""The cost of model calls: list prices from ``prices.toml``, which gives their date."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path

from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

FILE = Path(__file__).with_name("prices.toml")
PROFILE = re.compile(r"^(?P<scope>global|[a-z]{2,4}(?:-gov)?)\.(?=[a-z0-9-]+\.)")
"""Prefix of a cross-region inference profile, as in ``us.anthropic.claude-...``."""


class Price(BaseModel):
    """Prices in USD per million tokens; ``geographic`` multiplies them for an inference profile that is bound
    to a geography."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float = Field(ge=0)
    cache_write: float = Field(ge=0)
    geographic: float = Field(default=1.0, gt=0)

    def of(self, usage: UsageMetadata) -> dict[str, float]:
        """Return USD by token type. Tokens read from or written to the prompt cache are part of the input
        tokens.
        """
        details = usage.get("input_token_details", {})
        read, written = details.get("cache_read") or 0, details.get("cache_creation") or 0
        fresh = max(0, usage["input_tokens"] - read - written)
        paid = fresh * self.input + read * self.cache_read + written * self.cache_write
        return {"input": paid / 1e6, "output": usage["output_tokens"] * self.output / 1e6}


class Prices(BaseModel):
    """A price file. Raises pydantic's ``ValidationError`` for an incomplete one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    source: str
    models: dict[str, Price]
    _known: dict[str, Price | None] = PrivateAttr(default_factory=dict)

    def price(self, model_id: str) -> Price | None:
        """Return the price of a model or inference profile; ``None`` when the file does not have it."""
        if model_id not in self._known:
            self._known[model_id] = self._price(model_id)
        return self._known[model_id]

    def _price(self, model_id: str) -> Price | None:
        profile = PROFILE.match(model_id)
        found = self.models.get(model_id[profile.end() :] if profile else model_id)
        if found is None or profile is None or profile["scope"] == "global":
            return found
        factor = found.geographic
        priced = {name: value * factor for name, value in found.model_dump(exclude={"geographic"}).items()}
        return Price(**priced)


@cache
def prices() -> Prices:
    """Return the packaged price file."""
    return Prices.model_validate(tomllib.loads(FILE.read_text()))
