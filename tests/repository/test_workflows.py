"""The workflows call only what exists, hold no secrets, and ask for an identity only where they use it."""

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
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target for job in jobs(path).values() for target in re.findall(r"\bmake ([a-z-]+)", commands(job))
    }
    assert called <= targets


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_secret_and_every_action_pinned_by_commit(path: Path) -> None:
    assert "secrets." not in path.read_text()
    used = [step["uses"] for job in jobs(path).values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each) for each in used)
    named = re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)
    assert len(named) == len(used)


def test_a_job_has_an_identity_in_aws_only_to_use_it() -> None:
    for name, job in jobs(ROOT / ".github" / "workflows" / "deploy.yml").items():
        signs_in = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert (job.get("permissions", {}).get("id-token") == "write") == signs_in, name


DEPLOY = jobs(ROOT / ".github" / "workflows" / "deploy.yml")


def role(name: str) -> str:
    """Return the variable with the role with which the job signs in."""
    (step,) = [step for step in DEPLOY[name]["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    (variable,) = re.findall(r"^\$\{\{ vars\.(\w+) \}\}$", step["with"]["role-to-assume"])
    assert f"vars.{variable} != ''" in DEPLOY[name]["if"]
    return str(variable)


def test_a_pull_request_only_looks() -> None:
    for name, job in DEPLOY.items():
        runs_for_it = "github.event_name == 'push'" not in job.get("if", "")
        if runs_for_it and name != "diff":
            assert "permissions" not in job, name
    assert role("diff") == "AWS_ROLE_LOOKUP"
    assert "environment" not in DEPLOY["diff"]
    assert commands(DEPLOY["diff"]).startswith("make diff PROFILE=dev READ_ONLY=1")
    assert "head.repo.fork == false" in DEPLOY["diff"]["if"]


def test_production_comes_after_dev_has_been_checked_deployed_and_toured() -> None:
    needs = {name: job.get("needs") for name, job in DEPLOY.items() if "needs" in job}
    assert needs == {"dev": ["check", "rehearse"], "smoke": "dev", "prod": "smoke"}
    assert commands(DEPLOY["check"]).endswith("make lint\nmake test")
    assert {name: job.get("environment") for name, job in DEPLOY.items() if "environment" in job} == {
        "dev": "dev",
        "smoke": "dev",
        "prod": "prod",
    }
    assert (role("dev"), role("smoke"), role("prod")) == (
        "AWS_ROLE_DEV",
        "AWS_ROLE_SMOKE_DEV",
        "AWS_ROLE_PROD",
    )
    assert [commands(DEPLOY[name]) for name in needs] == [
        "make deploy PROFILE=dev YES=1",
        "make smoke PROFILE=dev",
        "make deploy PROFILE=prod YES=1",
    ]
    assert all("always()" not in job.get("if", "") for job in DEPLOY.values())


def test_the_smoke_test_runs_where_it_is_said_and_what_builds_images_can() -> None:
    assert DEPLOY["smoke"]["runs-on"] == "${{ vars.RUNNER_SMOKE || 'ubuntu-latest' }}"
    for name in ("dev", "prod"):
        steps = [step.get("uses", step.get("run", "")).partition("@")[0] for step in DEPLOY[name]["steps"]]
        emulation = steps.index("docker/setup-qemu-action")
        assert emulation < steps.index(commands(DEPLOY[name]))
        assert DEPLOY[name]["steps"][emulation]["if"] == "vars.IMAGES != 'codebuild'"


def test_every_variable_is_explained() -> None:
    used = set(re.findall(r"vars\.(\w+)", (ROOT / ".github" / "workflows" / "deploy.yml").read_text()))
    explained = (ROOT / "docs" / "delivery.md").read_text()
    assert {name for name in used if f"`{name}" not in explained} == set()
