"""Permissions of the smoke test of an environment."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam


def smoke_test_statements(stack: Stack, environment: str) -> list[iam.PolicyStatement]:
    """Return the permissions of `make smoke`, for whoever runs it in the environment's account and region.

    It finds the environment by the names of its stacks, with which CloudFormation begins the names of their
    resources, and resources without such a name by the tag `fmops:environment`.
    """

    def arn(service: str, resource: str) -> str:
        return stack.format_arn(service=service, resource=resource)

    tagged = {"StringEquals": {"aws:ResourceTag/fmops:environment": environment}}
    named = f"{environment}-*"
    buckets = f"arn:{stack.partition}:s3:::{named}"
    return [
        _allow(["cloudformation:DescribeStacks"], arn("cloudformation", f"stack/{named}/*")),
        _allow(["ecs:DescribeServices"], arn("ecs", f"service/{named}/*")),
        _allow(
            [
                "ecs:DescribeTaskDefinition",
                "xray:BatchGetTraces",
                "xray:CancelTraceRetrieval",
                "xray:GetTraceSegmentDestination",
                "xray:ListRetrievedTraces",
                "xray:StartTraceRetrieval",
            ],
            "*",
        ),
        _allow(["lambda:GetFunctionConfiguration"], arn("lambda", f"function:{named}")),
        _allow(["dynamodb:PutItem"], arn("dynamodb", f"table/{named}")),
        _allow(["s3:ListBucket"], buckets),
        _allow(["s3:GetObject"], f"{buckets}/interactions/*"),
        _allow(["kms:Decrypt"], arn("kms", "key/*"), tagged),
        _allow(
            [
                "cognito-idp:AdminAddUserToGroup",
                "cognito-idp:AdminCreateUser",
                "cognito-idp:AdminGetUser",
                "cognito-idp:AdminInitiateAuth",
                "cognito-idp:AdminRespondToAuthChallenge",
                "cognito-idp:AdminSetUserMFAPreference",
                "cognito-idp:AdminSetUserPassword",
                "cognito-idp:AdminUpdateUserAttributes",
                "cognito-idp:DescribeUserPoolClient",
            ],
            arn("cognito-idp", "userpool/*"),
            tagged,
        ),
        _allow(
            ["verifiedpermissions:CreatePolicy", "verifiedpermissions:ListPolicyTemplates"],
            stack.format_arn(service="verifiedpermissions", region="", resource="policy-store/*"),
            tagged,
        ),
        _allow(["sagemaker:CallMlflowAppApi"], arn("sagemaker", "mlflow-app/*"), tagged),
        *_documents(stack, environment, tagged),
    ]


def _documents(
    stack: Stack, environment: str, tagged: dict[str, dict[str, str]]
) -> list[iam.PolicyStatement]:
    """Return the permissions to publish documents and to follow their ingestion (`ops/publish.py`)."""
    buckets = f"arn:{stack.partition}:s3:::{environment}-*"
    function = (
        f"arn:{stack.partition}:lambda:{stack.region}:{stack.account}:function:{environment}-Knowledge-*"
    )
    base = stack.format_arn(service="bedrock", resource="knowledge-base", resource_name="*")
    key = stack.format_arn(service="kms", resource="key", resource_name="*")
    return [
        _allow(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], f"{buckets}/documents/*"),
        _allow(["s3:GetObject"], f"{buckets}/knowledge/manifests/*"),
        _allow(["lambda:InvokeFunction"], function),
        _allow(["bedrock:GetIngestionJob"], base, tagged),
        _allow(["kms:GenerateDataKey"], key, tagged),
    ]


def _allow(
    actions: list[str], resource: str, conditions: dict[str, dict[str, str]] | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions)
