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
    """Seconds for which Firehose collects records before it writes an object."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days after which interactions expire; they hold redacted conversations."""
    raw_text: bool = False
    """Whether the text before redaction is also stored, in the lake under `interactions-raw/`: personal
    data.
    """
    raw_retention_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Days after which text before redaction expires, if `raw_text` stores it."""
