"""This machine: what builds images."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from doctor.finding import Finding, Patient, check


@check("Docker")
def docker(patient: Patient) -> Iterator[Finding]:
    if patient.settings.images == "codebuild":
        yield Finding("ok", "CodeBuild builds the images")
        return
    program = shutil.which("docker") or shutil.which("finch") or shutil.which("podman")
    works = (
        bool(program)
        and not subprocess.run([str(program), "info"], capture_output=True, check=False).returncode
    )
    if works:
        yield Finding("ok", f"{program} builds the images")
    else:
        yield Finding(
            "stop",
            f"{program} does not run" if program else "there is no Docker to build the images with",
            "start it, or set images to codebuild",
        )
