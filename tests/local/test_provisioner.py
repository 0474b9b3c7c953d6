"""CloudFormation of one local AWS after another, as in a process that starts several."""

from __future__ import annotations

import json
from pathlib import Path

from local.aws.cloudformation.provisioner import install
from local.aws.server import LocalAws

GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "next"}}


def created(cloud: LocalAws) -> list[str]:
    """Create a stack, and return the log groups that came of it."""
    template = json.dumps({"Resources": {"Group": GROUP}})
    cloud.client("cloudformation").create_stack(StackName="next", TemplateBody=template)
    return [group["logGroupName"] for group in cloud.client("logs").describe_log_groups()["logGroups"]]


def test_a_stopped_cloud_creates_nothing_for_the_next(tmp_path: Path) -> None:
    with LocalAws(port=0, enforce=False, directory=tmp_path / "first") as first:
        assert install(first)
        assert created(first) == ["next"]
    with LocalAws(port=0, enforce=False, directory=tmp_path / "second") as second:
        assert created(second) == ["next"]


def test_a_cloud_that_took_over_stays_when_the_earlier_one_stops(tmp_path: Path) -> None:
    first = LocalAws(port=0, enforce=False, directory=tmp_path / "first").start()
    install(first)
    with LocalAws(port=0, enforce=False, directory=tmp_path / "second") as second:
        report = install(second)
        first.stop()
        assert created(second) == ["next"]
        assert report.real == [("next", "Group", "AWS::Logs::LogGroup")]


def test_an_exported_resource_is_created_after_what_it_depends_on(tmp_path: Path) -> None:
    template = {
        "Resources": {
            "First": {**GROUP, "DependsOn": "Second"},
            "Second": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "second"}},
        },
        "Outputs": {"Exported": {"Value": {"Ref": "First"}, "Export": {"Name": "exported"}}},
    }
    with LocalAws(port=0, enforce=False, directory=tmp_path) as cloud:
        report = install(cloud)
        cloud.client("cloudformation").create_stack(StackName="next", TemplateBody=json.dumps(template))
        assert [name for _, name, _ in report.real] == ["Second", "First"]
