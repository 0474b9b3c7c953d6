"""Settings of the records of every interaction."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
)

from settings.kinds import Section


class Capture(Section):
    """Interaction records on their way to the data lake."""

    buffer_seconds: Annotated[int, Field(ge=0, le=900)] = 60
    """For which Firehose collects before it writes an object."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Interactions hold redacted conversations: they expire after this many days."""
    raw_text: bool = False
    """Also keeps what was typed and answered before redaction, in the lake under `interactions-raw/`: personal data."""
    raw_retention_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Of text before redaction, where `raw_text` keeps it."""
