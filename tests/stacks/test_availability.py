"""A profile is refused in regions that lack a resource type, and the project's data on regions is
CloudFormation's."""

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from stacks import availability
from tests.synthesized import Assembly

ROOT = Path(__file__).parents[2]


def write_assembly(directory: Path, region: str, *types: str) -> Path:
    """Write a cloud assembly with one stack of these resource types, as synth writes it."""
    directory.mkdir(parents=True, exist_ok=True)
    resources = {f"R{number}": {"Type": name} for number, name in enumerate(types)}
    (directory / "Some.template.json").write_text(json.dumps({"Resources": resources}))
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": f"aws://unknown-account/{region}",
        "properties": {"templateFile": "Some.template.json"},
    }
    (directory / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": {"Some": stack}}))
    return directory


def test_the_regions_without_each_type_are_those_of_cloudformations_own_schemas(
    assemblies: dict[str, Assembly], request: pytest.FixtureRequest
) -> None:
    types = {
        resource["Type"] for assembly in assemblies.values() for resource in assembly.resources().values()
    }
    found = missing({*types, *availability.ALTERNATIVES.values()})
    if request.config.getoption("update_snapshots"):
        availability.MISSING.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(availability.MISSING.read_text()), "to accept this: make snapshots"


def missing(types: set[str]) -> dict[str, list[str]]:
    """Return the public regions without each AWS resource type; types that are in all of them are left out."""
    files = resources.files("cfnlint.data.schemas.providers").iterdir()
    # For a region without a file of its own, cfn-lint answers with the types of us-east-1.
    named = sorted(Path(file.name).stem for file in files if file.name.endswith(".json"))
    regions = [name for name in named if name != "sam" and "iso" not in name and not name.startswith("eusc")]
    wanted = {name for name in types if name.startswith("AWS::") and name != "AWS::CDK::Metadata"}
    found: dict[str, list[str]] = {}
    for region in regions:
        for name in wanted - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region)):
            found.setdefault(name, []).append(region)
    return dict(sorted(found.items()))


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("AWS::Grafana::Workspace", "grafana"),
        ("AWS::APS::Workspace", "amp"),
        ("AWS::VerifiedPermissions::IdentitySource", "verifiedpermissions"),
    ],
)
def test_no_region_is_refused_where_the_sdk_knows_the_service(name: str, service: str) -> None:
    known = botocore.session.get_session().get_available_regions(service)
    assert known
    assert availability.missing()[name] & set(known) == frozenset()


@pytest.mark.parametrize("own", [True, False], ids=["settings", "environment"])
def test_a_stack_in_a_region_that_lacks_a_type_is_refused_with_the_setting_that_helps(
    own: bool, tmp_path: Path
) -> None:
    region = "ca-central-1"
    assembly = write_assembly(tmp_path, region if own else "unknown-region", "AWS::Grafana::Workspace")
    with pytest.raises(availability.RegionError) as refused:
        availability.check(assembly, None if own else region)
    assert str(refused.value) == (
        "ca-central-1 has no AWS::Grafana::Workspace, which the stack Some needs:"
        " set observability.grafana to false, or set region to one that has it, such as us-east-1."
    )


def test_a_stage_of_a_pipeline_is_checked_too(tmp_path: Path) -> None:
    write_assembly(tmp_path, "us-east-1", "AWS::S3::Bucket")
    write_assembly(tmp_path / "assembly-Prod", "us-west-1", "AWS::Grafana::Workspace")
    with pytest.raises(availability.RegionError, match="us-west-1 has no"):
        availability.check(tmp_path, None)


def test_a_region_with_every_type_or_of_unknown_name_passes(tmp_path: Path) -> None:
    for region in ("eu-west-1", "xx-new-1", "unknown-region"):
        availability.check(write_assembly(tmp_path, region, "AWS::Grafana::Workspace"), None)


def test_a_remedy_is_named_only_where_it_helps() -> None:
    app, server = "AWS::SageMaker::MlflowApp", "AWS::SageMaker::MlflowTrackingServer"
    without_both = next(iter(availability.missing()[app] & availability.missing()[server]))
    with_server = next(iter(availability.missing()[app] - availability.missing()[server]))
    assert "tracking.kind" not in availability.remedy({app}, app, without_both)
    assert "tracking.kind" in availability.remedy({app}, app, with_server)


@pytest.mark.parametrize("variable", ["CDK_DEFAULT_REGION", "AWS_REGION"])
def test_synth_of_a_profile_for_such_a_region_ends_with_the_sentence(variable: str, tmp_path: Path) -> None:
    done = synthesize(tmp_path, "prod", {variable: "ca-central-1"})
    assert done.returncode == 1
    assert "ca-central-1 has no AWS::Grafana::Workspace" in done.stderr
    assert "Traceback" not in done.stderr


def synthesize(outdir: Path, profile: str, environment: dict[str, str]) -> subprocess.CompletedProcess[Any]:
    kept = {name: value for name, value in os.environ.items() if name not in availability.REGION_VARIABLES}
    return subprocess.run(
        [sys.executable, "app.py", "-c", f"profile={profile}"],
        cwd=ROOT,
        env={**kept, **environment, "CDK_OUTDIR": str(outdir)},
        capture_output=True,
        text=True,
    )


def test_regions_that_lack_a_type_are_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assembly = write_assembly(tmp_path, "unknown-region", "AWS::Grafana::Workspace", "AWS::S3::Bucket")
    availability.main(assembly, ["us-east-1", "ca-central-1", "eu-west-1"])
    said = capsys.readouterr()
    assert said.out.split() == ["us-east-1", "eu-west-1"]
    assert said.err == "- ca-central-1 is left out: it has no AWS::Grafana::Workspace\n"
    with pytest.raises(SystemExit, match="none of the regions"):
        availability.main(assembly, ["ca-central-1"])
