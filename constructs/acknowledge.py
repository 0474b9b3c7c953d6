"""Findings of checks that are accepted, each with its reason, on the construct that they are about."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Acknowledgment, CfnElement, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct


def acknowledge(construct: IConstruct, reason: str, *ids: str) -> None:
    """Accepts findings on a construct: ids of cdk-nag rules, or `CloudFormation-Validate::<rule>`."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=identifier, reason=reason) for identifier in ids)
    )


def acknowledge_keys(role: iam.Role, reason: str, bucket: s3.Bucket, *patterns: str) -> None:
    """Accepts that a role may use all keys of a bucket that patterns such as `reports/*` match, and no others."""
    name = _arn_in_findings(role, bucket)
    ids = (f"AwsSolutions-IAM5[Resource::{name}/{pattern}]" for pattern in patterns)
    acknowledge(role.node.find_child("DefaultPolicy"), reason, *ids)


def _arn_in_findings(role: iam.Role, bucket: s3.Bucket) -> str:
    """cdk-nag names an ARN by the reference in the template: to a resource, or to another stack's export."""
    owner = Stack.of(bucket)
    if owner.node.path != Stack.of(role).node.path:
        return str(owner.resolve(owner.export_value(bucket.bucket_arn))["Fn::ImportValue"])
    resource = bucket.node.default_child
    assert isinstance(resource, CfnElement)  # noqa: S101 - the bucket's L1
    return f"<{owner.get_logical_id(resource)}.Arn>"


def in_findings(scope: Construct, arn: str) -> str:
    """An ARN as cdk-nag writes it: references of the template in angle brackets."""
    resolved = Stack.of(scope).resolve(arn)
    if isinstance(resolved, str):
        return resolved
    if "Ref" in resolved:
        return f"<{resolved['Ref']}>"
    parts: Sequence[Any] = resolved["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
