"""``python -m doctor``: whether PROFILE can be deployed with your AWS credentials; asks and changes nothing."""

from __future__ import annotations

import argparse
import sys

import boto3
from rich.console import Console

import doctor.account
import doctor.features
import doctor.machine  # noqa: F401 - each registers its checks
import settings
from doctor.finding import CHECKS, Finding, Patient

MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "stop": "[red]stop   [/]"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--profile", default="dev")
    parser.add_argument("--probe", action="store_true", help="also ask the model for one token, which costs")
    options = parser.parse_args(arguments)
    try:
        profile = settings.load({**settings.read_context(), "profile": options.profile})
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    session = boto3.Session(region_name=profile.region)
    if not session.region_name:
        print("no region: set AWS_REGION, or region in the profile", file=sys.stderr)
        return 2
    if session.get_credentials() is None:
        print("no AWS credentials in this shell: sign in first, such as by aws sso login", file=sys.stderr)
        return 2
    console, stops = Console(), 0
    for finding in examine(Patient(profile, session.region_name, session.client, options.probe)):
        console.print(f"{MARKS[finding.level]} {finding.what}", highlight=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"        [bold]{finding.remedy}[/]", highlight=False, soft_wrap=True)
        stops += finding.level == "stop"
    console.print(
        f"{stops} would stop the deployment" if stops else "nothing was found that would stop the deployment"
    )
    return int(bool(stops))


def examine(patient: Patient) -> list[Finding]:
    """Everything that is found, in the order of the checks."""
    return [finding for run in CHECKS for finding in run(patient)]


if __name__ == "__main__":
    sys.exit(main())
