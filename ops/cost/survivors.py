"""``python -m ops.cost.survivors``: list what stays of a profile when it is destroyed, and why; then ask
whether to continue."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ops.cost.__main__ import synthesize
from ops.cost.idle import Template

# Why someone would miss it, by type; docs/operate.md lists the same.
WHY = {
    "AWS::APS::Workspace": "the metrics of the past months",
    "AWS::Cognito::UserPool": "people's accounts",
    "AWS::DynamoDB::Table": "the desk's system of record, waiting approvals, and the spending of budgets",
    "AWS::ECR::Repository": "images that are deployed",
    "AWS::KMS::Key": "without it, nothing that it encrypted can be read",
    "AWS::Logs::LogGroup": "logs, until their retention ends",
    "AWS::Logs::LogStream": "deleted with its log group",
    "AWS::S3::Bucket": "documents, interactions and the data derived from them, and records of who read them",
    "AWS::S3Vectors::Index": "the documents' embeddings; ingesting the documents again makes the same",
    "AWS::S3Vectors::VectorBucket": "deleted after its index, which must be deleted first",
    "AWS::SageMaker::MlflowApp": "experiments, prompts and evaluations; replacing it loses them",
    "AWS::SageMaker::MlflowTrackingServer": "experiments, prompts and evaluations; replacing it loses them",
    "AWS::SecretsManager::Secret": "the key of the pseudonyms: a new key separates earlier from later records",
    "AWS::VerifiedPermissions::PolicyStore": "the policies behind the decisions that the audit records name",
}
KEPT = {"Retain", "RetainExceptOnCreate", "Snapshot"}


@dataclass(frozen=True)
class Survivor:
    """A resource that a removed stack leaves in the account."""

    stack: str
    kind: str
    name: str

    @property
    def why(self) -> str:
        return WHY.get(self.kind, "its template says so")


def survivors(templates: Mapping[str, Template]) -> list[Survivor]:
    """Return the resources of the templates that CloudFormation keeps when their stacks are deleted."""
    return [
        Survivor(stack, resource["Type"], name)
        for stack, template in templates.items()
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy") in KEPT
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.cost.survivors", description=__doc__)
    parser.add_argument("--profile", default="dev")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    try:
        templates = synthesize(options.profile)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    _show(options.profile, templates)
    if options.yes:
        return 0
    try:
        answer = input(f"Remove {options.profile}? Type its name to continue: ")
    except EOFError:
        print("nobody can be asked here: add YES=1 to remove it without a question", file=sys.stderr)
        return 1
    if answer.strip() != options.profile:
        print("nothing was removed", file=sys.stderr)
        return 1
    return 0


def _show(profile: str, templates: Mapping[str, Template]) -> None:
    console = Console()
    kept = survivors(templates)
    if not kept:
        console.print(
            f"When {profile} is removed, nothing stays except KMS keys until their waiting period ends, and the "
            "images and templates in the CDK's bootstrap."
        )
        return
    table = Table(title=f"These resources of {profile} stay, for you to delete by hand", title_justify="left")
    for column in ("stack", "resource", "why"):
        table.add_column(column)
    for each in kept:
        table.add_row(each.stack, f"{each.kind.removeprefix('AWS::')} {each.name}", each.why)
    console.print(table)
    console.print(
        "Its stacks have termination protection, and some resources have deletion protection: turn those off "
        "first, in CloudFormation and in the services."
    )


if __name__ == "__main__":
    sys.exit(main())
