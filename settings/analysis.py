"""Settings of the embedding analysis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from settings.kinds import InstanceType, ModelId, Pattern, Section


class Analysis(Section):
    """The embedding analysis (docs/analysis.md)."""

    schedule: Annotated[str, Pattern(pattern=r"^(rate|cron)\(.+\)$")] | None = "cron(20 1 * * ? *)"
    """Schedule on which EventBridge Scheduler starts the job, in UTC. Each run analyses the last window that
    has ended."""
    window_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """Hours of interactions that are analysed together: whole days, or a part of a day that divides it."""
    baseline_windows: Annotated[int, Field(ge=1, le=366)] = 14
    """Number of consecutive windows with interactions needed before the first baseline is fitted. From 14 on,
    days are compared with how days usually differ."""
    alarm_windows: Annotated[int, Field(ge=10, le=100_000)] = 500
    """Average number of windows between two alarms when there is no drift."""
    description_model_id: ModelId | None = None
    """Model that says in two sentences what changed when there is an alarm; it reads redacted questions. None
    by default."""
    instance_type: InstanceType = "ml.m5.large"
    """Instance type for SageMaker Processing; the embedded engine uses all of its cores."""
    volume_gib: Annotated[int, Field(ge=5, le=16384)] = 30
    """Size in GiB of the job's disk, which holds what it reads from the lake."""
    max_hours: Annotated[int, Field(ge=1, le=24)] = 4
    """Hours after which a job is stopped."""
    engine: Literal["embedded", "spark", "auto"] = "embedded"
    """Engine that reads a window: the job itself on all its cores, Spark on EMR Serverless, or Spark for large
    windows (`auto`)."""
    spark_from_gib: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Size in GiB of a window's objects from which `auto` gives it to Spark; the job decides for each
    window.
    """
    spark_max_vcpus: Annotated[int, Field(ge=8, le=4000)] = 64
    """Maximum vCPUs of EMR Serverless while a Spark job runs: a driver and executors of four each."""

    @model_validator(mode="after")
    def _check(self) -> Analysis:
        if "spark_from_gib" in self.model_fields_set and self.engine != "auto":
            raise ValueError(
                f"spark_from_gib decides nothing with engine {self.engine!r}: set engine to 'auto', or "
                "leave spark_from_gib out"
            )
        if "spark_max_vcpus" in self.model_fields_set and self.engine == "embedded":
            raise ValueError(
                "spark_max_vcpus has no use with engine 'embedded': set engine to 'auto' or 'spark', or leave it out"
            )
        if self.window_hours % 24 and 24 % self.window_hours:
            raise ValueError(
                f"window_hours is {self.window_hours}, but must divide 24 or be a multiple of it"
            )
        return self
