"""Accepted findings of cdk-nag and CloudFormation's validation, each with its reason, on the construct
concerned.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Acknowledgment, CfnElement, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct


def acknowledge(construct: IConstruct, reason: str, *ids: str) -> None:
    """Accept findings on a construct, by the ids of cdk-nag rules or as `CloudFormation-Validate::<rule>`."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=identifier, reason=reason) for identifier in ids)
    )


def acknowledge_keys(role: iam.Role, reason: str, bucket: s3.Bucket, *patterns: str) -> None:
    """Accept that a role may use every key of a bucket that matches patterns such as `reports/*`, and
    no other key."""
    name = _arn_in_findings(role, bucket)
    ids = (f"AwsSolutions-IAM5[Resource::{name}/{pattern}]" for pattern in patterns)
    acknowledge(role.node.find_child("DefaultPolicy"), reason, *ids)


def _arn_in_findings(role: iam.Role, bucket: s3.Bucket) -> str:
    """Return a bucket's ARN as cdk-nag writes it: a reference in the template, to a resource or to
    another stack's export."""
    owner = Stack.of(bucket)
    if owner.node.path != Stack.of(role).node.path:
        return str(owner.resolve(owner.export_value(bucket.bucket_arn))["Fn::ImportValue"])
    resource = bucket.node.default_child
    assert isinstance(resource, CfnElement)  # noqa: S101 - the bucket's L1
    return f"<{owner.get_logical_id(resource)}.Arn>"


def in_findings(scope: Construct, arn: str) -> str:
    """Return an ARN as cdk-nag writes it, with the template's references in angle brackets."""
    resolved = Stack.of(scope).resolve(arn)
    parts: Sequence[Any] = (
        resolved["Fn::Join"][1] if isinstance(resolved, dict) and "Fn::Join" in resolved else [resolved]
    )
    return "".join(map(_reference, parts))


def _reference(part: Any) -> str:
    if isinstance(part, str):
        return part
    return f"<{part['Ref']}>" if "Ref" in part else f"<{'.'.join(part['Fn::GetAtt'])}>"
