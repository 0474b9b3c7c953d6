"""Availability of resource types by region: a profile is refused at synth where CloudFormation would refuse it
at deploy.

``python -m stacks.availability CLOUD_ASSEMBLY REGION...`` prints those of the regions that have every type.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

MISSING = Path(__file__).with_name("availability.json")
"""File with the regions that lack each type; a type that is not listed is in all of them.

`make snapshots` writes it from the schemas that CloudFormation publishes for each region, as cfn-lint packages
them.
"""

PACKAGED = "set knowledge.documents to packaged"
REMEDIES = {
    "AWS::Bedrock::DataSource": PACKAGED,
    "AWS::Bedrock::Guardrail": "leave detectors of kind bedrock_guardrail out of assistant.guardrails",
    "AWS::Bedrock::KnowledgeBase": PACKAGED,
    "AWS::CodeBuild::Project": "set images to docker and leave delivery.pipeline out",
    "AWS::Grafana::Workspace": "set observability.grafana to false",
    "AWS::S3Vectors::Index": PACKAGED,
    "AWS::S3Vectors::VectorBucket": PACKAGED,
    "AWS::SageMaker::MlflowApp": "set tracking.kind to server",
    "AWS::XRay::TransactionSearchConfig": "set observability.transaction_search to off",
}
"""Setting that avoids a type. A type without one requires another region."""
ALTERNATIVES = {"AWS::SageMaker::MlflowApp": "AWS::SageMaker::MlflowTrackingServer"}
"""Type that a remedy uses instead, which the region must have for the remedy to help."""
REGION_VARIABLES = ("CDK_DEFAULT_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
SUGGESTED = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "ap-southeast-2")


class RegionError(Exception):
    """A region lacks resource types of the templates; the message names each with its remedy."""


@cache
def missing() -> Mapping[str, frozenset[str]]:
    """Return the regions without each resource type."""
    return {name: frozenset(regions) for name, regions in json.loads(MISSING.read_text()).items()}


def lacking(types: set[str], region: str) -> list[str]:
    """Return those of the resource types that the region does not have, sorted."""
    return sorted(name for name in types if region in missing().get(name, ()))


def remedy(types: set[str], lacked: str, region: str) -> str:
    """Return what to do about a type that a region lacks: the setting that avoids it, or another region."""
    elsewhere = [each for each in SUGGESTED if not lacking(types, each)]
    moves = f"set region to one that has it, such as {elsewhere[0]}" if elsewhere else "choose another region"
    setting = REMEDIES.get(lacked)
    helps = setting and not lacking({ALTERNATIVES.get(lacked, "")}, region)
    return f"{setting}, or {moves}" if helps else moves


def check(assembly: Path, region: str | None) -> None:
    """Raise ``RegionError`` when a stack's region lacks a type. ``region`` is that of stacks whose settings name
    none."""
    problems = []
    for template, own in stacks(assembly):
        if where := own or region:
            types, stack = resource_types(template), template.name.split(".")[0]
            problems += [
                f"{where} has no {name}, which the stack {stack} needs: {remedy(types, name, where)}."
                for name in lacking(types, where)
            ]
    if problems:
        raise RegionError("\n".join(dict.fromkeys(problems)))


def stacks(assembly: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield each stack's template with its region, ``None`` where the settings name none, in nested assemblies too."""
    for manifest in sorted(assembly.rglob("manifest.json")):
        for artifact in json.loads(manifest.read_text()).get("artifacts", {}).values():
            if artifact["type"] == "aws:cloudformation:stack":
                region = artifact["environment"].rpartition("/")[2]
                template = manifest.parent / artifact["properties"]["templateFile"]
                yield template, None if region == "unknown-region" else region


def resource_types(template: Path) -> set[str]:
    """Return the resource types of a template."""
    resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
    return {resource["Type"] for resource in resources.values()}


def deploy_region() -> str | None:
    """Return the region that the CDK CLI or the environment names, for stacks whose settings name none."""
    return next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), None)


def main(assembly: Path, regions: list[str]) -> None:
    """Print the regions that have every type of the templates, and on standard error why others are left out."""
    types = {name for template, _ in stacks(assembly) for name in resource_types(template)}
    fit = []
    for region in regions:
        if lacked := lacking(types, region):
            print(f"- {region} is left out: it has no {', '.join(lacked)}", file=sys.stderr)  # noqa: T201
        else:
            fit.append(region)
    if not fit:
        sys.exit("none of the regions has every resource type of these templates")
    print(*fit)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
