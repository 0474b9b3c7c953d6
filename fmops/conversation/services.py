"""The AWS services behind the assistant, by the operations that it calls: each one's role here, and the remedy
when it fails."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """An explanation of one service's failures. ``code`` is the prefix of the codes of its errors."""

    code: str
    name: str
    if_missing: str
    if_denied: str = "grant the operation to the task role"
    if_invalid: str = "ask for something shorter; if that fails too, its request must be corrected"


MODEL = Service(
    "model",
    "the model",
    "set model_id to one that is in this region and that this account may use, and deploy",
    "grant it in Bedrock, and check the task role",
    "check model_id, the prompt and the agent's tools against the model's limits",
)
EMBEDDING = Service(
    "embedding_model",
    "the embedding model",
    "set embedding_model_id to one that is in this region, and deploy",
    "grant it in Bedrock, and check the task role",
    "ask a shorter question, and check embedding_model_id",
)
TABLE = Service(
    "table",
    "a DynamoDB table",
    "check FMOPS_RECORDS_TABLE and FMOPS_APPROVALS_TABLE, and deploy the Assistant stack",
    "grant the operation on the table and its key to the task role",
    "a key or an item is empty or over DynamoDB's limits: ask with a shorter value, or correct what the tool writes",
)
PERMISSIONS = Service(
    "authorization",
    "Verified Permissions",
    "check FMOPS_POLICY_STORE_ID, and deploy the Identity stack",
    if_invalid="check that the policy store's identity source knows the issuer and audience of the tokens",
)
GUARDRAIL = Service(
    "guardrail",
    "the Bedrock guardrail",
    "check its id and version in assistant.guardrails, and deploy the Assistant stack",
    if_invalid="check the detector's settings in assistant.guardrails",
)
COMPREHEND = Service(
    "comprehend",
    "Comprehend",
    "check that Comprehend is in this region, or choose other detectors in assistant.guardrails",
    if_invalid="check the detector's settings in assistant.guardrails",
)
STREAM = Service(
    "delivery_stream",
    "the Firehose stream",
    "check FMOPS_DELIVERY_STREAM, and deploy the Capture stack",
)
SECRET = Service(
    "secret",
    "a secret in Secrets Manager",
    "check FMOPS_PSEUDONYM_KEY_SECRET, and deploy the Assistant stack",
)
KEY = Service("key", "a KMS key", "check that the key is enabled", "grant the task role the use of the key")
ROLE = Service(
    "role", "a role", "check the task role and what it may assume", "check who may assume the role"
)
BUCKET = Service(
    "bucket", "an S3 bucket or object", "check the data lake's bucket, and deploy the Foundation stack"
)
KNOWLEDGE_BASE = Service(
    "knowledge_base", "the knowledge base", "check FMOPS_KNOWLEDGE_BASE_ID, and deploy the Knowledge stack"
)
UNKNOWN = Service("service", "an AWS service", "check what the deployment names, and deploy")

_OPERATIONS: dict[Service, tuple[str, ...]] = {
    MODEL: ("Converse", "ConverseStream", "InvokeModelWithResponseStream", "CountTokens"),
    EMBEDDING: ("InvokeModel",),
    GUARDRAIL: ("ApplyGuardrail", "InvokeGuardrailChecks"),
    TABLE: (
        "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem",
        "TransactGetItems", "TransactWriteItems", "DescribeTable",
    ),
    PERMISSIONS: (
        "IsAuthorized", "IsAuthorizedWithToken", "BatchIsAuthorized", "BatchIsAuthorizedWithToken", "ListPolicies",
        "GetPolicy", "BatchGetPolicy", "GetSchema", "GetPolicyTemplate",
    ),
    COMPREHEND: (
        "DetectToxicContent", "DetectPiiEntities", "ContainsPiiEntities", "ClassifyDocument", "DetectDominantLanguage",
    ),
    STREAM: ("PutRecord", "PutRecordBatch"),
    SECRET: ("GetSecretValue",),
    KEY: ("Decrypt", "Encrypt", "GenerateDataKey"),
    ROLE: ("AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity"),
    BUCKET: ("GetObject", "PutObject", "HeadObject", "ListObjectsV2", "ListObjects"),
    KNOWLEDGE_BASE: ("Retrieve", "RetrieveAndGenerate"),
}  # fmt: skip
SERVICES = {operation: service for service, operations in _OPERATIONS.items() for operation in operations}
