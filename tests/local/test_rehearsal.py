"""A rehearsal fails for a permission that the task role lacks, and for one that it has without need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.aws.server import LocalAws
from local.run.containers import read_services
from local.run.deploy import deploy
from local.run.options import Options
from local.run.report import Section
from local.run.synthesis import synthesize
from local.run.up import report_permissions

pytestmark = pytest.mark.rehearsal
LACKING, NEEDLESS = "firehose:PutRecordBatch", "dynamodb:DeleteTable"


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the templates of dev, with one action of the task role replaced by another."""
    assembly: Path = tmp_path_factory.mktemp("rehearsal") / "cdk.out"
    synthesize(assembly, context={"profile": "dev"})
    file = assembly / "Assistant.template.json"
    text = file.read_text()
    policies = [name for name in json.loads(text)["Resources"] if name.startswith("AppTaskRoleDefaultPolicy")]
    assert len(policies) == 1
    assert text.count(f'"{LACKING}"') == 1
    file.write_text(text.replace(f'"{LACKING}"', f'"{NEEDLESS}"'))
    return assembly


def test_both_are_named_with_role_action_resource_and_caller(changed: Path, tmp_path: Path) -> None:
    with LocalAws(port=0, directory=tmp_path) as cloud:
        deployment = deploy(cloud, changed)
        (containers,) = read_services(cloud, tmp_path / "volumes")
        credentials = cloud.container_credentials[containers[1].credentials_token]
        stream = deployment.outputs["Capture"]["DeliveryStreamName"]
        with pytest.raises(ClientError, match=LACKING):
            cloud.client("firehose", role=credentials).put_record_batch(
                DeliveryStreamName=stream, Records=[{"Data": b"{}"}]
            )
        section = Section("permissions")
        report_permissions(cloud, Options(rehearse=True), section)
    lines = [problem.text for problem in section.problems]
    (denied,) = [line for line in lines if "not authorized" in line]
    arn = f"arn:aws:firehose:us-east-1:123456789012:deliverystream/{stream}"
    assert f"Assistant/AppTaskRole is not authorized to perform {LACKING} on {arn}" in denied
    assert f"called by {credentials.caller.arn}" in denied
    (needless,) = [line for line in lines if NEEDLESS in line]
    assert needless.startswith(f"Assistant/AppTaskRole is granted {NEEDLESS}")
    assert "never used it: take it away" in needless


def test_what_the_role_may_do_is_not_complained_of(tmp_path: Path) -> None:
    """Make the same report for a cloud in which nobody did or may do anything: it holds."""
    with LocalAws(port=0, directory=tmp_path) as cloud:
        section = Section("permissions")
        report_permissions(cloud, Options(rehearse=True), section)
    assert section.problems == []
