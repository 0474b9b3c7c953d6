"""Permissions that calls of S3 need: an object's versions, tags, access lists and locks have actions of their own.

Source: "Required permissions for Amazon S3 API operations" of the S3 user guide.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from local.aws.iam.need import Need, Rule, header
from local.aws.kernel.api import Context, Params

GRANTS = ("full-control", "read", "read-acp", "write", "write-acp")
ENCRYPTION = "x-amz-server-side-encryption"


def on_object(action: str, key_action: str = "", *, version_action: str = "") -> Rule:
    """An object, or a version of it, and the customer key of its bucket."""

    def rule(params: Params, context: Context) -> list[Need]:
        return [_version(action, version_action, params, params), *_of_key(key_action, params, context)]

    return rule


def _version(action: str, version_action: str, params: Params, named: Params) -> Need:
    arn = f"arn:aws:s3:::{params['Bucket']}/{named['Key']}"
    version = named.get("VersionId")
    if not version or not version_action:
        return Need(action, arn)
    return Need(version_action, arn, {"s3:versionid": (str(version),)})


def _of_key(action: str, params: Params, context: Context) -> list[Need]:
    """The customer key that an object is encrypted with: the one that the request names, else the bucket's."""
    if not action:
        return []
    key = context.cloud.bucket_key(str(params["Bucket"]))
    if kind := header(context, ENCRYPTION):
        named = header(context, f"{ENCRYPTION}-aws-kms-key-id")
        key = None if kind == "AES256" else named or key
    if not key:
        return []
    arn = key if key.startswith("arn:") else context.arn("kms", f"key/{key}")
    return [Need(action, arn, {"kms:viaservice": (f"s3.{context.region}.amazonaws.com",)})]


def put_object(params: Params, context: Context) -> list[Need]:
    """An object to write, and what is set with it."""
    arn = f"arn:aws:s3:::{params['Bucket']}/{params['Key']}"
    keys: dict[str, tuple[str, ...]] = {
        f"s3:{name}": (value,)
        for name in ("x-amz-acl", ENCRYPTION, f"{ENCRYPTION}-aws-kms-key-id", "x-amz-storage-class")
        if (value := header(context, name))
    }
    tags = dict(parse_qsl(header(context, "x-amz-tagging") or "", keep_blank_values=True))
    if tags:
        keys["s3:requestobjecttagkeys"] = tuple(tags)
        keys |= {f"s3:requestobjecttag/{name}".lower(): (value,) for name, value in tags.items()}
    found = [Need("s3:PutObject", arn, keys)]
    if tags:
        found.append(Need("s3:PutObjectTagging", arn, keys))
    if any(header(context, f"x-amz-{name}") for name in ("acl", *(f"grant-{each}" for each in GRANTS))):
        found.append(Need("s3:PutObjectAcl", arn, keys))
    if header(context, "x-amz-object-lock-mode") or header(context, "x-amz-object-lock-retain-until-date"):
        found.append(Need("s3:PutObjectRetention", arn, keys))
    if header(context, "x-amz-object-lock-legal-hold"):
        found.append(Need("s3:PutObjectLegalHold", arn, keys))
    return [*found, *_of_key("kms:GenerateDataKey", params, context)]


def delete_object(params: Params, context: Context) -> list[Need]:
    """An object to delete, or a version of one."""
    return _delete(params, [params], context)


def delete_objects(params: Params, context: Context) -> list[Need]:
    """Objects to delete, each for itself."""
    return _delete(params, params["Delete"]["Objects"], context)


def _delete(params: Params, named: list[Params], context: Context) -> list[Need]:
    found = [_version("s3:DeleteObject", "s3:DeleteObjectVersion", params, each) for each in named]
    if str(header(context, "x-amz-bypass-governance-retention")).lower() == "true":
        found += [Need("s3:BypassGovernanceRetention", each.resource, each.keys) for each in found]
    return found


def list_bucket(action: str) -> Rule:
    """A bucket's keys."""

    def rule(params: Params, _: Context) -> list[Need]:
        keys = {"s3:prefix": (str(params.get("Prefix") or ""),)}
        for name, key in (("Delimiter", "s3:delimiter"), ("MaxKeys", "s3:max-keys")):
            if params.get(name) is not None:
                keys[key] = (str(params[name]),)
        return [Need(action, f"arn:aws:s3:::{params['Bucket']}", keys)]

    return rule


RULES: dict[tuple[str, str], Rule] = {
    ("s3", "AbortMultipartUpload"): on_object("s3:AbortMultipartUpload"),
    ("s3", "CompleteMultipartUpload"): on_object("s3:PutObject", "kms:Decrypt"),
    ("s3", "CreateMultipartUpload"): put_object,
    ("s3", "DeleteObject"): delete_object,
    ("s3", "DeleteObjectTagging"): on_object("s3:DeleteObjectTagging", version_action="s3:DeleteObjectVersionTagging"),
    ("s3", "DeleteObjects"): delete_objects,
    ("s3", "GetObject"): on_object("s3:GetObject", "kms:Decrypt", version_action="s3:GetObjectVersion"),
    ("s3", "GetObjectAcl"): on_object("s3:GetObjectAcl", version_action="s3:GetObjectVersionAcl"),
    ("s3", "GetObjectTagging"): on_object("s3:GetObjectTagging", version_action="s3:GetObjectVersionTagging"),
    ("s3", "HeadBucket"): list_bucket("s3:ListBucket"),
    ("s3", "HeadObject"): on_object("s3:GetObject", "kms:Decrypt", version_action="s3:GetObjectVersion"),
    ("s3", "ListObjectVersions"): list_bucket("s3:ListBucketVersions"),
    ("s3", "ListObjects"): list_bucket("s3:ListBucket"),
    ("s3", "ListObjectsV2"): list_bucket("s3:ListBucket"),
    ("s3", "PutObject"): put_object,
    ("s3", "PutObjectAcl"): on_object("s3:PutObjectAcl", version_action="s3:PutObjectVersionAcl"),
    ("s3", "PutObjectTagging"): on_object("s3:PutObjectTagging", version_action="s3:PutObjectVersionTagging"),
    ("s3", "UploadPart"): on_object("s3:PutObject", "kms:GenerateDataKey"),
}  # fmt: skip
