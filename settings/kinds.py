"""Kinds of values that several sections of the settings share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

Port = Annotated[int, Field(ge=1024, le=65535)]


Pattern = StringConstraints


SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]


ModelId = Annotated[str, Pattern(pattern=r"^[a-z0-9.-]+(:\d+)?$")]
"""Id of a Bedrock model or of an inference profile."""


InstanceType = Annotated[str, Pattern(pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")]
"""Instance type for SageMaker Processing."""


# A choice of the periods that CloudWatch Logs offers, in days.
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 90, 180, 365, 731, 1827, 3653]


class SettingsError(ValueError):
    """A setting is invalid; the message is one sentence for the person who wrote it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
