"""MLflow's own prompt page, in a real browser, through the real AI gateway, to Bedrock's Converse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.aws.server import LocalAws
from local.aws.services.sagemaker.mlflow import MlflowApps
from local.processes.process import ProcessError
from local.run import gateway
from local.run.runner import Runner

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
MLFLOW_PORT, GATEWAY_PORT = 23594, 23599


@pytest.mark.rehearsal
@pytest.mark.browser
def test_a_prompt_is_tried_on_mlflows_own_page(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with LocalAws(
        port=0,
        enforce=False,
        directory=tmp_path,
        run_servers=True,
        mlflow_port=MLFLOW_PORT,
        gateway_port=GATEWAY_PORT,
    ) as cloud:
        cloud.client("s3").create_bucket(Bucket="artifacts-test")
        role = cloud.client("iam").create_role(RoleName="mlflow", AssumeRolePolicyDocument="{}")["Role"]
        cloud.client("sagemaker").create_mlflow_app(
            Name="app", ArtifactStoreUri="s3://artifacts-test/m", RoleArn=role["Arn"]
        )
        started = gateway.Gateway(cloud, GATEWAY_PORT)
        cloud.on_stop(started.stop)
        started.start([MODEL])
        cloud.state(MlflowApps).wait()
        started.wait()
        page = browser.new_page()
        page.goto(f"http://localhost:{MLFLOW_PORT}/#/experiments/0/runs")
        page.get_by_role("button", name="New run").click()
        page.get_by_role("menuitem", name="using Prompt Engineering").click()
        page.locator("#selected_model").click()
        page.get_by_role("option", name=MODEL.replace(":", "-")).click()
        page.get_by_test_id("prompt-template-input").fill("What is {{ word }}?")
        page.locator("#word").fill("a deductible")
        page.get_by_test_id("button-evaluate").click()
        expect(page.get_by_test_id("prompt-output")).not_to_have_value("", timeout=30_000)
        answer = page.get_by_test_id("prompt-output").input_value()
        page.get_by_test_id("button-create-run").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        asked = [operation for (_, service, operation) in cloud.calls if service == "bedrock-runtime"]
        direct = cloud.client("bedrock-runtime").converse(
            modelId=MODEL, messages=[{"role": "user", "content": [{"text": "What is a deductible?"}]}]
        )
    assert asked == ["Converse"]
    assert answer == direct["output"]["message"]["content"][0]["text"]


def test_the_models_are_those_of_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(LocalAws(directory=tmp_path))
    environment = {"FMOPS_MODEL_ID": "a", "FMOPS_PLAYGROUND_MODELS": '["b", "a"]'}
    monkeypatch.setattr(runner, "environments", lambda: [{"PORT": "1"}, environment])
    assert gateway.models(runner) == ["a", "b"]
    monkeypatch.setattr(runner, "environments", list)
    with pytest.raises(LookupError, match="FMOPS_MODEL_ID"):
        gateway.models(runner)


def test_without_its_packages_it_says_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "PYTHON", tmp_path / "python")
    with pytest.raises(ProcessError, match="make run GATEWAY=1"):
        gateway.check_installed()
