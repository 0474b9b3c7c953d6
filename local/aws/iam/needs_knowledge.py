"""Permissions that calls of S3 Vectors and of Bedrock Knowledge Bases need.

Sources: "Actions, resources, and condition keys" of Amazon S3 Vectors and of Amazon Bedrock in the Service
Authorization Reference; the "Permissions" of the operations in the S3 API reference; "Data protection and encryption in
S3 Vectors" of the S3 User Guide. A call with vectors uses the customer key of its index under the caller, which the
pages do not list by operation: PutVectors makes a data key and every call decrypts one.
"""

from __future__ import annotations

from local.aws.iam.need import Need, Rule, tag_keys, tagging
from local.aws.kernel.api import Context, Params


def _bucket_arn(params: Params, context: Context) -> str:
    arn, name = params.get("vectorBucketArn"), params.get("vectorBucketName")
    return str(arn) if arn and str(arn).startswith("arn:") else context.arn("s3vectors", f"bucket/{name}")


def _index_arn(params: Params, context: Context) -> str:
    arn = params.get("indexArn")
    if arn and str(arn).startswith("arn:"):
        return str(arn)
    return f"{_bucket_arn(params, context)}/index/{params.get('indexName')}"


def _on_bucket(action: str) -> Rule:
    return lambda params, context: [Need(action, _bucket_arn(params, context))]


def _on_index(action: str) -> Rule:
    return lambda params, context: [Need(action, _index_arn(params, context))]


def _on_vectors(action: str, *more_with: str, key_actions: tuple[str, ...] = ("kms:Decrypt",)) -> Rule:
    """Vectors of an index, and its customer key. With one of the parameters ``more_with`` a call also reads vectors."""

    def rule(params: Params, context: Context) -> list[Need]:
        arn = _index_arn(params, context)
        found = [Need(action, arn)]
        if any(params.get(each) for each in more_with):
            found.append(Need("s3vectors:GetVectors", arn))
        if key := context.cloud.encryption_keys.get(arn):
            via = {"kms:viaservice": (f"s3vectors.{context.region}.amazonaws.com",)}
            found += [Need(each, key, via) for each in key_actions]
        return found

    return rule


def _created(action: str, arn_of: Rule) -> Rule:
    """A bucket or an index to make, with its encryption and its tags."""

    def rule(params: Params, context: Context) -> list[Need]:
        (named,) = arn_of(params, context)
        encryption, tags = params.get("encryptionConfiguration"), params.get("tags")
        given = encryption if isinstance(encryption, dict) else {}
        keys = {
            f"s3vectors:{name.lower()}": (str(given[name]),)
            for name in ("sseType", "kmsKeyArn")
            if given.get(name)
        }
        return [
            Need(action, named.resource, {**keys, **tag_keys(tags)}),
            *tagging("s3vectors:TagResource", named.resource, tags),
        ]

    return rule


def _base(action: str) -> Rule:
    """A knowledge base, which Retrieve also takes as an ARN."""

    def rule(params: Params, context: Context) -> list[Need]:
        name = str(params["knowledgeBaseId"]).rpartition("/")[2]
        return [Need(action, context.arn("bedrock", f"knowledge-base/{name}"))]

    return rule


def _create_base(params: Params, context: Context) -> list[Need]:
    """The role that is handed to Bedrock, since the knowledge base has no ARN yet."""
    passed = {"iam:passedtoservice": ("bedrock.amazonaws.com",)}
    tags = params.get("tags")
    return [
        Need("bedrock:CreateKnowledgeBase", keys=tag_keys(tags)),
        Need("iam:PassRole", str(params["roleArn"]), passed),
        *tagging("bedrock:TagResource", context.arn("bedrock", "knowledge-base/new"), tags),
    ]


def _update_base(params: Params, context: Context) -> list[Need]:
    passed = {"iam:passedtoservice": ("bedrock.amazonaws.com",)}
    return [
        *_base("bedrock:UpdateKnowledgeBase")(params, context),
        Need("iam:PassRole", str(params["roleArn"]), passed),
    ]


def _transient_data(params: Params, context: Context) -> list[Need]:
    """The key of a data source, with which Bedrock encrypts what an ingestion job keeps while it runs."""
    key = str(params["kmsKeyArn"])
    arn = key if key.startswith("arn:") else context.arn("kms", f"key/{key}")
    return [Need("kms:GenerateDataKey", arn), Need("kms:Decrypt", arn)]


ON_BASE = (
    "CreateDataSource",
    "DeleteDataSource",
    "DeleteKnowledgeBase",
    "GetDataSource",
    "GetIngestionJob",
    "GetKnowledgeBase",
    "GetKnowledgeBaseDocuments",
    "ListDataSources",
    "ListIngestionJobs",
    "ListKnowledgeBaseDocuments",
    "StartIngestionJob",
    "StopIngestionJob",
    "UpdateDataSource",
)
"""Calls that are about one knowledge base, or about what belongs to it."""

RULES: dict[tuple[str, str], Rule] = {
    ("s3vectors", "CreateIndex"): _created("s3vectors:CreateIndex", _on_index("")),
    ("s3vectors", "CreateVectorBucket"): _created("s3vectors:CreateVectorBucket", _on_bucket("")),
    ("s3vectors", "DeleteIndex"): _on_index("s3vectors:DeleteIndex"),
    ("s3vectors", "DeleteVectorBucket"): _on_bucket("s3vectors:DeleteVectorBucket"),
    ("s3vectors", "DeleteVectorBucketPolicy"): _on_bucket("s3vectors:DeleteVectorBucketPolicy"),
    ("s3vectors", "DeleteVectors"): _on_vectors("s3vectors:DeleteVectors"),
    ("s3vectors", "GetIndex"): _on_index("s3vectors:GetIndex"),
    ("s3vectors", "GetVectorBucket"): _on_bucket("s3vectors:GetVectorBucket"),
    ("s3vectors", "GetVectorBucketPolicy"): _on_bucket("s3vectors:GetVectorBucketPolicy"),
    ("s3vectors", "GetVectors"): _on_vectors("s3vectors:GetVectors"),
    ("s3vectors", "ListIndexes"): _on_bucket("s3vectors:ListIndexes"),
    ("s3vectors", "ListVectorBuckets"): lambda _, __: [Need("s3vectors:ListVectorBuckets")],
    ("s3vectors", "ListVectors"): _on_vectors("s3vectors:ListVectors", "returnData", "returnMetadata"),
    ("s3vectors", "PutVectorBucketPolicy"): _on_bucket("s3vectors:PutVectorBucketPolicy"),
    ("s3vectors", "PutVectors"): _on_vectors(
        "s3vectors:PutVectors", key_actions=("kms:GenerateDataKey", "kms:Decrypt")
    ),
    ("s3vectors", "QueryVectors"): _on_vectors(
        "s3vectors:QueryVectors", "filter", "returnMetadata", "queryTexts"
    ),
    # No operation: what an ingestion job does under the role of its knowledge base.
    ("bedrock-agent", "EncryptTransientData"): _transient_data,
    ("bedrock-agent", "CreateKnowledgeBase"): _create_base,
    ("bedrock-agent", "ListKnowledgeBases"): lambda _, __: [Need("bedrock:ListKnowledgeBases")],
    ("bedrock-agent", "UpdateKnowledgeBase"): _update_base,
    **{("bedrock-agent", name): _base(f"bedrock:{name}") for name in ON_BASE},
    ("bedrock-agent-runtime", "Retrieve"): _base("bedrock:Retrieve"),
}  # fmt: skip
