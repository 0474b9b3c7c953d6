"""The evaluation job: `python -m fmops.jobs.evaluate evaluate --candidate latest`, or any other command of
`fmops.evaluation`.

It runs an operator's command, with the deployment in its environment and the journal of what was paid for in
the lake. A candidate that the gate refuses is an outcome, not a failure of the job: the log and MLflow hold the
decision.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import boto3
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fmops.deployment import Deployment
from fmops.evaluation.__main__ import main as command

REFUSED = 1
"""Exit code of the commands when the gate refuses."""


class EvaluateSettings(BaseSettings):
    """Settings from variables named ``FMOPS_`` and the field's name in capitals, in addition to
    ``fmops.evaluation.setup``'s."""

    model_config = SettingsConfigDict(env_prefix="FMOPS_", frozen=True)

    environment: str = Field(min_length=1)
    lake_bucket: str = Field(min_length=1)
    guardrails_parameter: str = Field(
        min_length=1, description="SSM parameter with the assistant's guardrails"
    )
    tracking_uri: str = Field(min_length=1, validation_alias="MLFLOW_TRACKING_URI")


class Given(Deployment):
    """The deployment that this job belongs to, which is already in the environment."""

    def adopt(self) -> None:
        """Do nothing, since the environment is already set."""


def main(arguments: Sequence[str] | None = None) -> int:
    settings = EvaluateSettings()
    parameter = boto3.client("ssm").get_parameter(Name=settings.guardrails_parameter)["Parameter"]["Value"]
    os.environ["FMOPS_GUARDRAILS"] = parameter
    outputs = {
        "Capture": {"LakeBucketName": settings.lake_bucket},
        "Tracking": {"MlflowArn": settings.tracking_uri},
    }
    code = command(
        list(sys.argv[1:] if arguments is None else arguments), Given(settings.environment, outputs=outputs)
    )
    return 0 if code == REFUSED else code


if __name__ == "__main__":
    sys.exit(main())
