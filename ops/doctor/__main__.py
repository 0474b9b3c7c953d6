"""``python -m ops.doctor``: check whether PROFILE can be deployed with your AWS credentials; only asks, changes
nothing."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator

import boto3
from rich.console import Console
from rich.markup import escape

import ops.doctor.account
import ops.doctor.features
import ops.doctor.machine
import ops.doctor.quotas
import ops.doctor.sign_in  # noqa: F401 - each registers its checks
import settings
from ops.cost.__main__ import synthesize
from ops.doctor.finding import CHECKS, Finding, Target
from ops.doctor.region import region

MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "stop": "[red]stop   [/]"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.doctor", description=__doc__)
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
    templates = functools.cache(functools.partial(synthesize, options.profile))
    target = Target(profile, session.region_name, session.client, options.probe, templates)
    for finding in examine(target):
        console.print(f"{MARKS[finding.level]} {escape(finding.what)}", highlight=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"        [bold]{escape(finding.remedy)}[/]", highlight=False, soft_wrap=True)
        stops += finding.level == "stop"
    console.print(
        f"{stops} would stop the deployment" if stops else "nothing was found that would stop the deployment"
    )
    return int(bool(stops))


def examine(target: Target) -> Iterator[Finding]:
    """Yield every finding as it is made; if the region cannot be used, nothing more is checked."""
    for run in (region, *(run for run in CHECKS if run is not region)):
        found = list(run(target))
        yield from found
        if run is region and any(finding.level == "stop" for finding in found):
            return
        if run is region:
            try:
                target.templates()
            except ValueError as error:
                yield Finding("stop", "the templates cannot be synthesized", str(error))
                return


if __name__ == "__main__":
    sys.exit(main())
