"""Every template of the profiles as last reviewed: `dev` complete, the others as their difference from it.

`pytest --snapshot-update` accepts a change.
"""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.stacks.differences import Difference, difference, reviewable
from tests.stacks.test_synthesis import STACKS
from tests.synthesized import Assembly

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stack", sorted(STACKS))
def test_template(assemblies: dict[str, Assembly], stack: str, snapshot: SnapshotAssertion) -> None:
    reviewed = snapshot(extension_class=JSONSnapshotExtension)
    assert reviewable(assemblies["dev"].templates[stack]) == reviewed


@pytest.mark.parametrize("stack", sorted(STACKS))
@pytest.mark.parametrize("profile", ["prod", "serverless"])
def test_difference_from_dev(
    assemblies: dict[str, Assembly], profile: str, stack: str, snapshot: SnapshotAssertion
) -> None:
    found = difference(
        assemblies["dev"].templates[stack], assemblies[profile].templates[stack], f"fmops-{profile}"
    )
    assert found == snapshot(extension_class=Difference)


def test_analysis_with_everything_on(assemblies: dict[str, Assembly], snapshot: SnapshotAssertion) -> None:
    dev, everything = (assemblies[profile].templates["Analysis"] for profile in ("dev", "everything"))
    assert difference(dev, everything, "other-everything") == snapshot(extension_class=Difference)


def test_github_which_no_profile_turns_on(
    assemblies: dict[str, Assembly], snapshot: SnapshotAssertion
) -> None:
    reviewed = snapshot(extension_class=JSONSnapshotExtension)
    assert reviewable(assemblies["everything"].templates["GitHub"]) == reviewed


def resources(**properties: Any) -> dict[str, Any]:
    return {"Resources": {name: {"Properties": value} for name, value in properties.items()}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (resources(A={"Size": 1}, B={"Name": "fmops-prod-b"}), "no difference\n"),
        (resources(A={"Size": 2}, B={"Name": "fmops-prod-b"}),
         'Resources.A\n@@ -1,5 +1,5 @@\n {\n  "Properties": {\n-  "Size": 1\n+  "Size": 2\n  }\n }\n\n'),
        (resources(B={"Name": "fmops-prod-b"}), "- Resources.A\n\n"),
        (resources(A={"Size": 1}, B={"Name": "fmops-prod-b"}, C={}),
         '+ Resources.C\n@@ -0,0 +1,3 @@\n+{\n+ "Properties": {}\n+}\n\n'),
        # A profile that names another's resource is different.
        (resources(A={"Size": 1}, B={"Name": "fmops-dev-b"}),
         'Resources.B\n@@ -1,5 +1,5 @@\n {\n  "Properties": {\n'
         '-  "Name": "<environment>-b"\n+  "Name": "fmops-dev-b"\n  }\n }\n\n'),
    ],
)  # fmt: skip
def test_a_difference_names_what_is_changed_removed_and_added(
    template: dict[str, Any], expected: str
) -> None:
    dev = resources(A={"Size": 1}, B={"Name": "fmops-dev-b"})
    assert difference(dev, template, "fmops-prod") == f"fmops-prod compared with fmops-dev\n\n{expected}"


def test_the_query_of_a_view_is_compared_as_text() -> None:
    dev, prod = (
        resources(View=f"/* Presto View: {base64.b64encode(query).decode()} */")
        for query in (b"SELECT 1", b"SELECT 2")
    )
    assert '- "Properties": "/* Presto View: SELECT 1 */"\n+ "Properties": "/* Presto View: SELECT 2 */"' in (
        difference(dev, prod, "fmops-prod")
    )


@pytest.mark.parametrize(
    "test",
    [
        "def test_new(snapshot):\n    assert {'a': 1} == snapshot\n",
        "from tests.stacks.differences import Difference\n"
        "def test_new(snapshot):\n    assert 'a' == snapshot(extension_class=Difference)\n",
    ],
    ids=["whole", "difference"],
)
def test_missing_snapshot_fails_until_it_is_accepted(test: str, tmp_path: Path) -> None:
    (tmp_path / "test_new.py").write_text(test)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(tmp_path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    missing = run()
    assert missing.returncode == 1
    assert "does not exist" in missing.stdout
    assert not (tmp_path / "__snapshots__").exists()
    assert run("--snapshot-update").returncode == 0
    assert run().returncode == 0
