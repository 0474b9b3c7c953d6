"""The pipeline: what it deploys and in which order, its permissions, and the settings that it refuses."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stage
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_ssm as ssm
from constructs.delivery_pipeline import PlatformError
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

import app
import settings
from stacks.base import FmopsStack
from stacks.pipeline import CLI, Pipeline
from stacks.synthesis import check
from tests.synthesized import context

OPTIONS = {
    "repository": "example/fmops",
    "connection_arn": "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
}
ASSISTANT = {**context("dev")["fmops"]["dev"]["assistant"], "ingress_cidrs": ["10.0.0.0/8"]}
CONTEXT = context("dev", assistant=ASSISTANT, images="codebuild", delivery={"pipeline": OPTIONS})
CONTEXT["fmops"]["prod"]["images"] = "codebuild"
CROSS = copy.deepcopy(CONTEXT)
CROSS["fmops"]["dev"]["account"] = "111122223333"
CROSS["fmops"]["dev"]["region"] = CROSS["fmops"]["prod"]["region"] = "eu-west-1"
CROSS["fmops"]["prod"]["account"] = "444455556666"


def synthesize(given: dict[str, Any], outdir: Path) -> dict[str, Any]:
    """Return the pipeline's template, checked by cdk-nag; in place of the stages it has stacks with nothing
    but an asset."""
    profile = settings.load(given)
    following = settings.load_next(given, profile)
    assert profile.delivery.pipeline
    assert following
    tree = App(outdir=str(outdir), context=given)
    crosses = profile.account != following.account
    pipeline = Pipeline(
        tree, "Pipeline", settings=profile, options=profile.delivery.pipeline, cross_account=crosses
    )
    stages = []
    for each in (profile, following):
        stages.append(Stage(pipeline, each.profile.capitalize()))
        stack = FmopsStack(stages[-1], "Foundation", each, description="Stands for the environment")
        s3_assets.Asset(stack, "Asset", path="policies")
        ssm.StringParameter(stack, "Parameter", string_value="here")
    pipeline.deploy(stages)
    check(tree)
    tree.synth()
    template: dict[str, Any] = json.loads((outdir / "Pipeline.template.json").read_text())
    return template


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesize(CONTEXT, tmp_path_factory.mktemp("pipeline"))


def only(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]


def test_template(template: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    text = re.sub(r"\b[0-9a-f]{64}\b", "<asset hash>", json.dumps(template))
    assert json.loads(text) == snapshot(extension_class=JSONSnapshotExtension)


def test_the_environment_is_smoked_before_somebody_approves_the_next(template: dict[str, Any]) -> None:
    (pipeline,) = only(template, "AWS::CodePipeline::Pipeline")
    stages = {
        stage["Name"]: [
            action["Name"] for action in sorted(stage["Actions"], key=lambda action: action["RunOrder"])
        ]
        for stage in pipeline["Stages"]
    }
    assert list(stages) == ["Source", "Build", "UpdatePipeline", "Assets", "Dev", "Prod"]
    assert stages["Build"] == ["Synth"]
    assert stages["Dev"][-1] == "CheckDev"
    assert stages["Prod"][0] == "ApproveProd"
    assert pipeline["PipelineType"] == "V2"
    (source,) = pipeline["Stages"][0]["Actions"]
    assert source["Configuration"]["FullRepositoryId"] == "example/fmops"
    assert source["Configuration"]["BranchName"] == "main"


def test_the_steps_run_the_readmes_commands_with_the_cli_that_is_pinned(template: dict[str, Any]) -> None:
    builds = " ".join(
        project["Source"].get("BuildSpec", "") for project in only(template, "AWS::CodeBuild::Project")
    )
    assert "make synth PROFILE=dev" in builds
    assert "make smoke PROFILE=dev" in builds
    assert f"npm install -g aws-cdk@{CLI}" in builds
    machines = [project["Environment"] for project in only(template, "AWS::CodeBuild::Project")]
    assert {machine["Type"] for machine in machines} == {"LINUX_CONTAINER"}


def test_the_connection_may_be_used_under_both_of_its_services_names(template: dict[str, Any]) -> None:
    statements = [
        statement
        for policy in only(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "UseConnection" in json.dumps(statement)
    ]
    assert {statement["Resource"] for statement in statements} == {OPTIONS["connection_arn"]}
    actions = {action for each in statements for action in [each["Action"]] if isinstance(action, str)}
    actions |= {
        action for each in statements if isinstance(each["Action"], list) for action in each["Action"]
    }
    assert actions == {"codeconnections:UseConnection", "codestar-connections:UseConnection"}


@pytest.mark.parametrize(
    ("dev", "prod", "sentence"),
    [
        ({"images": "docker"}, {}, "fmops.dev: delivery.pipeline builds images on x86_64 machines"),
        ({}, {"images": "docker"}, "fmops.prod: the pipeline of dev builds images on x86_64 machines"),
        (
            {"images": "docker", "architecture": "x86_64"},
            {"images": "docker"},
            "assistant.architecture is arm64 and images is docker: set images to codebuild",
        ),
        ({"images": "docker", "architecture": "x86_64"}, {}, None),
        (
            {"images": "docker", "architecture": "x86_64"},
            {"images": "docker", "architecture": "x86_64"},
            None,
        ),
    ],
)
def test_images_that_the_machines_cannot_build_are_refused(
    dev: dict[str, str], prod: dict[str, str], sentence: str | None
) -> None:
    given = copy.deepcopy(CONTEXT)
    for name, changes in (("dev", dev), ("prod", prod)):
        profile = given["fmops"][name]
        profile["images"] = changes.get("images", profile["images"])
        profile["assistant"] = {
            **profile["assistant"],
            "architecture": changes.get("architecture", "arm64"),
        }
    if sentence is None:
        settings.load_next(given, settings.load(given))
        return
    with pytest.raises(settings.SettingsError, match=re.escape(sentence)):
        settings.load_next(given, settings.load(given))


def test_an_image_of_another_architecture_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    profile = settings.load(CONTEXT)
    assert profile.delivery.pipeline
    pipeline = Pipeline(
        App(outdir=str(tmp_path)), "Pipeline", settings=profile, options=profile.delivery.pipeline
    )
    stage = Stage(pipeline, "Dev")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text("FROM scratch\n")
    ecr_assets.DockerImageAsset(
        FmopsStack(stage, "Assistant", profile, description="Has an image"),
        "Image",
        directory=str(tmp_path / "image"),
        platform=ecr_assets.Platform.LINUX_ARM64,
    )
    with pytest.raises(
        PlatformError, match=r"linux/arm64, but the pipeline's machines build for linux/amd64"
    ):
        pipeline.deploy([stage])


def test_the_smoke_test_reaches_nothing_of_another_environment(template: dict[str, Any]) -> None:
    (statements,) = [
        policy["PolicyDocument"]["Statement"]
        for policy in only(template, "AWS::IAM::Policy")
        if "cognito-idp" in json.dumps(policy)
    ]
    for statement in statements:
        text = json.dumps(statement["Resource"])
        of_the_pipeline = re.search(r"Delivery|Artifacts|Log[0-9A-F]{8}", text)
        if not of_the_pipeline and statement["Resource"] != "*":
            tag = (
                statement.get("Condition", {})
                .get("StringEquals", {})
                .get("aws:ResourceTag/fmops:environment")
            )
            assert re.search(r"fmops-dev-(Knowledge-)?\*", text) or tag == "fmops-dev", statement


def test_roles_of_another_account_get_a_key_that_they_can_use(tmp_path: Path) -> None:
    assert only(synthesize(CROSS, tmp_path), "AWS::KMS::Key")


def test_within_one_account_there_is_no_key_to_pay_for(template: dict[str, Any]) -> None:
    assert only(template, "AWS::KMS::Key") == []
    assert only(template, "AWS::S3::Bucket")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"delivery": {"pipeline": {**OPTIONS, "then": "dev"}}}, "delivery.pipeline.then is dev, which the"),
        (
            {"assistant": {}, "delivery": {"pipeline": OPTIONS}},
            "delivery.pipeline.smoke sends its test from CodeBuild",
        ),
        (
            {"identity": {}, "delivery": {"pipeline": OPTIONS}},
            "delivery.pipeline.smoke signs the demo's users",
        ),
        (
            {"delivery": {"pipeline": OPTIONS, "github": {"name": "me/mine"}}},
            "github and pipeline are both set",
        ),
        ({"delivery": {"pipeline": {**OPTIONS, "connection_arn": "arn"}}}, "connection_arn is"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(settings.SettingsError, match=re.escape(sentence)):
        settings.load(context("dev", **{"assistant": ASSISTANT, "images": "codebuild", **changes}))


@pytest.mark.parametrize(
    ("then", "account", "sentence"),
    [
        ("nothing", None, "The profile 'nothing' is not in the context"),
        ("prod", "111122223333", "only one of them names its account"),
    ],
)
def test_a_next_environment_that_cannot_be_is_refused(then: str, account: str | None, sentence: str) -> None:
    changes: dict[str, Any] = {"delivery": {"pipeline": {**OPTIONS, "then": then}}}
    given = copy.deepcopy(CONTEXT)
    given["fmops"]["dev"] |= {**changes, **({"account": account} if account else {})}
    with pytest.raises(settings.SettingsError, match=re.escape(sentence)):
        settings.load_next(given, settings.load(given))


def test_the_app_deploys_its_environments_under_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDK_VALIDATION", "false")
    built = app.build({**CONTEXT, "profile": "dev"}, str(tmp_path))
    names = {
        stage.node.id: {stack.stack_name for stack in stage.node.children if isinstance(stack, FmopsStack)}
        for stage in built.node.find_child("Pipeline").node.children
        if isinstance(stage, Stage)
    }
    assert "fmops-dev-Assistant" in names["Dev"]
    assert "fmops-prod-Assistant" in names["Prod"]
    without = app.build({**CONTEXT, "profile": "dev", "pipeline": "false"}, str(tmp_path / "without"))
    assert without.node.try_find_child("Pipeline") is None
