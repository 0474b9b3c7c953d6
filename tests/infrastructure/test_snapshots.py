"""Every template of the profiles as it was last reviewed. `pytest --snapshot-update` accepts a change."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.infrastructure.conftest import Assembly
from tests.infrastructure.test_synthesis import STACKS

# They change with every edit of what they are hashes of.
ASSET_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.mark.parametrize("stack", sorted(STACKS))
@pytest.mark.parametrize("profile", ["dev", "prod", "serverless"])
def test_template(
    assemblies: dict[str, Assembly], profile: str, stack: str, snapshot: SnapshotAssertion
) -> None:
    template = json.dumps(assemblies[profile].templates[stack])
    reviewed = snapshot(extension_class=JSONSnapshotExtension)
    assert json.loads(ASSET_HASH.sub("<asset hash>", template)) == reviewed


@pytest.mark.parametrize("stack", ["Analysis", "GitHub"])
def test_what_no_profile_turns_on(
    assemblies: dict[str, Assembly], stack: str, snapshot: SnapshotAssertion
) -> None:
    template = json.dumps(assemblies["everything"].templates[stack])
    reviewed = snapshot(extension_class=JSONSnapshotExtension)
    assert json.loads(ASSET_HASH.sub("<asset hash>", template)) == reviewed


def test_missing_snapshot_fails(tmp_path: Path) -> None:
    (tmp_path / "test_new.py").write_text("def test_new(snapshot):\n    assert {'a': 1} == snapshot\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "does not exist" in result.stdout
    assert not (tmp_path / "__snapshots__").exists()
