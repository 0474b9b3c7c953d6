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
        _allow(["s3:ListBucket"], f"arn:{stack.partition}:s3:::{named}"),
        _allow(["s3:GetObject"], f"arn:{stack.partition}:s3:::{named}/interactions/*"),
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
    ]


def _allow(
    actions: list[str], resource: str, conditions: dict[str, dict[str, str]] | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions)
