"""The real MLflow server behind the App's ARN, reached by MLflow's own client and SageMaker's plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.aws.server import LocalAws
from local.run.up import use_as_environment

pytestmark = pytest.mark.rehearsal


def test_runs_and_artifacts_through_the_apps_arn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    ):
        monkeypatch.setenv(name, "put back after the test")
    monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", "put back after the test")
    with LocalAws(port=0, enforce=False, directory=tmp_path, run_servers=True, mlflow_port=23591) as cloud:
        cloud.client("s3").create_bucket(Bucket="artifacts-test")
        role = cloud.client("iam").create_role(RoleName="mlflow", AssumeRolePolicyDocument="{}")["Role"][
            "Arn"
        ]
        app = cloud.client("sagemaker").create_mlflow_app(
            Name="app", ArtifactStoreUri="s3://artifacts-test/m", RoleArn=role
        )["Arn"]
        use_as_environment(cloud)
        mlflow.set_tracking_uri(app)
        mlflow.set_experiment("claims-desk")
        with mlflow.start_run() as run:
            mlflow.log_metric("score", 0.5)
            mlflow.log_text("kept", "note.txt")
        assert mlflow.get_run(run.info.run_id).data.metrics == {"score": 0.5}
        (stored,) = cloud.client("s3").list_objects_v2(Bucket="artifacts-test")["Contents"]
        assert stored["Key"].endswith(f"{run.info.run_id}/artifacts/note.txt")
        url = cloud.client("sagemaker").create_presigned_mlflow_app_url(Arn=app)["AuthorizedUrl"]
        assert url == "http://localhost:23591/"
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
