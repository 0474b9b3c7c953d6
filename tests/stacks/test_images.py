"""Images built in CodeBuild, for people without Docker."""

import json
from pathlib import Path

import pytest

import app
from ops.doctor.machine import PLATFORMS, architectures
from tests.synthesized import Assembly, context


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("codebuild")
    app.build(context("dev", images="codebuild", analysis={"engine": "auto"}), str(directory)).synth()
    return directory


def test_nothing_is_left_for_docker(assembly: Path) -> None:
    manifests = [json.loads(file.read_text()) for file in assembly.glob("*.assets.json")]
    assert len(manifests) >= 8
    assert [manifest["dockerImages"] for manifest in manifests if manifest["dockerImages"]] == []


@pytest.mark.parametrize("engine", ["embedded", "auto"])
@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
@pytest.mark.parametrize("compute", ["ecs", "lambda"])
def test_the_doctor_knows_the_architectures_that_docker_builds(
    engine: str, architecture: str, compute: str, tmp_path: Path
) -> None:
    assistant = {"architecture": architecture, "compute": compute, "ingress_cidrs": ["10.0.0.0/8"]}
    network = {"mode": "none" if compute == "lambda" else "new"}
    given = context("dev", analysis={"engine": engine}, assistant=assistant, network=network)
    app.build({**given, "aws:cdk:bundling-stacks": []}, str(tmp_path)).synth()
    built = {
        image["source"]["platform"]
        for file in tmp_path.glob("*.assets.json")
        for image in json.loads(file.read_text())["dockerImages"].values()
    }
    templates = {file.name: json.loads(file.read_text()) for file in tmp_path.glob("*.template.json")}
    assert {f"linux/{PLATFORMS[name]}" for name in architectures(templates)} == built


def test_emr_serverless_may_pull_the_image_that_codebuild_has_built(assembly: Path) -> None:
    resources = json.loads((assembly / "Analysis.template.json").read_text())["Resources"]
    (application,) = (
        each["Properties"] for each in resources.values() if each["Type"] == "AWS::EMRServerless::Application"
    )
    uri = json.dumps(application["ImageConfiguration"]["ImageUri"])
    (repository,) = (
        each["Properties"]
        for name, each in resources.items()
        if each["Type"] == "AWS::ECR::Repository" and name in uri
    )
    (statement,) = repository["RepositoryPolicyText"]["Statement"]
    assert statement["Principal"] == {"Service": "emr-serverless.amazonaws.com"}
    assert statement["Action"] == ["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
    assert "/applications/*" in json.dumps(statement["Condition"])


def test_every_image_is_built_from_what_its_dockerfile_needs(assembly: Path) -> None:
    builds = {}
    for file in assembly.glob("*.template.json"):
        for resource in json.loads(file.read_text())["Resources"].values():
            if resource["Type"] == "Custom::CDKContainerImageBuild":
                builds[file.name.split(".")[0]] = resource["Properties"]["buildCommand"]
    assert "linux/arm64" in builds["Assistant"]
    assert "COLLECTOR_IMAGE=" in builds["Assistant"]
    assert "linux/amd64" in builds["Analysis"]
    (sources,) = (each.parent for each in assembly.glob("asset.*/images"))
    for dockerfile in Path("images").glob("*.Dockerfile"):
        for line in (sources / dockerfile).read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                words = [word for word in line.split()[1:-1] if not word.startswith("--")]
                assert all(list(sources.glob(word.rstrip("/"))) for word in words), line
    packaged = {file.relative_to(sources) for file in (sources / "fmops").rglob("*") if file.is_file()}
    written = {
        file for file in Path("fmops").rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }
    assert packaged == written


def test_the_libraries_log_groups_are_kept_as_long_as_ours(assemblies: dict[str, Assembly]) -> None:
    groups = assemblies["enclosed"].resources("AWS::Logs::LogGroup")
    builds = [group for group in groups.values() if "/aws/codebuild/" in json.dumps(group["Properties"])]
    assert len(builds) == 3
    assert all(group["Properties"]["RetentionInDays"] == 30 for group in builds)
