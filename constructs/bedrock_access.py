"""IAM statements for calling Bedrock models, by model id or inference profile id."""

import re

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam

# Cross-region inference profiles: a geography before the provider and the model.
PROFILE = re.compile(r"^(?:us|us-gov|eu|apac|jp|au|ca|global)\.(?P<model>[a-z0-9-]+\..+)$")

INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")


def invoke_statements(stack: Stack, model_id: str) -> list[iam.PolicyStatement]:
    """Statements that allow to invoke a model, streamed or not.

    A call through an inference profile is checked against the profile and against the model in the region that it is sent to. Those regions are AWS's to
    choose and may grow, so the model is allowed in each, but only through the profile.
    """
    profile = PROFILE.match(model_id)
    if profile is None:
        return [iam.PolicyStatement(actions=[*INVOKE], resources=[_model_arn(stack, stack.region, model_id)])]
    profile_arn = stack.format_arn(service="bedrock", resource="inference-profile", resource_name=model_id)
    return [
        iam.PolicyStatement(actions=[*INVOKE], resources=[profile_arn]),
        iam.PolicyStatement(
            actions=[*INVOKE],
            resources=[_model_arn(stack, "*", profile["model"])],
            conditions={"StringEquals": {"bedrock:InferenceProfileArn": profile_arn}},
        ),
    ]


def _model_arn(stack: Stack, region: str, model_id: str) -> str:
    return stack.format_arn(
        service="bedrock",
        region=region,
        account="",
        resource="foundation-model",
        resource_name=model_id,
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
