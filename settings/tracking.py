"""Settings of MLflow on SageMaker."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    model_validator,
)

from settings.kinds import Pattern, Section


class Tracking(Section):
    """MLflow on SageMaker. Changing the kind creates a new MLflow without the data of the old one."""

    kind: Literal["app", "server"] = "app"
    """Kind of MLflow. `app`: serverless, free while idle. `server`: a tracking server, billed by the hour,
    whose API has an IAM action per operation, and whose version you choose."""
    server_size: Literal["Small", "Medium", "Large"] = "Small"
    """Size of the tracking server: for up to 25, 50 or 100 people."""
    server_version: Annotated[str, Pattern(pattern=r"^\d+\.\d+(\.\d+)?$")] = "3.10"
    """MLflow version of the tracking server: the clients in `requirements/` are pinned to the same."""
    maintenance_window: Annotated[
        str, Pattern(pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun):[0-2]\d:[0-5]\d$")
    ] = "Tue:03:30"
    """Weekly time in UTC at which SageMaker may update a tracking server, such as `Tue:03:30`."""

    @model_validator(mode="after")
    def _check(self) -> Tracking:
        if self.kind == "app" and (
            given := sorted(self.model_fields_set & {"server_size", "server_version"})
        ):
            raise ValueError(f"{given[0]} has no use with kind 'app': set kind to 'server', or leave it out")
        return self
