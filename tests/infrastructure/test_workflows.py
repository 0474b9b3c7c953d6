"""The workflows call what there is, hold no secrets, and ask for an identity only where they use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target for job in jobs(path).values() for target in re.findall(r"\bmake ([a-z-]+)", commands(job))
    }
    assert called <= targets


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_secret_and_every_action_of_a_version(path: Path) -> None:
    assert "secrets." not in path.read_text()
    used = [step["uses"] for job in jobs(path).values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", each) for each in used)


def test_a_job_has_an_identity_in_aws_only_to_use_it() -> None:
    for name, job in jobs(ROOT / ".github" / "workflows" / "deploy.yml").items():
        signs_in = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert (job.get("permissions", {}).get("id-token") == "write") == signs_in, name


def test_production_comes_after_dev_has_been_toured() -> None:
    deploy = jobs(ROOT / ".github" / "workflows" / "deploy.yml")
    assert deploy["prod"]["needs"] == "dev"
    assert deploy["prod"]["environment"] == "prod"
    assert deploy["dev"]["needs"] == "rehearse"
    dev = commands(deploy["dev"])
    assert dev.index("make doctor") < dev.index("make deploy") < dev.index("make smoke")
