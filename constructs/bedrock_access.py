"""IAM permissions for calling Bedrock models, by model id or inference profile id."""

import re

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from constructs.acknowledge import acknowledge

# An inference profile id begins with a geography, before the provider and the model.
PROFILE = re.compile(r"^(?:us|us-gov|eu|apac|jp|au|ca|global)\.(?P<model>[a-z0-9-]+\..+)$")

INVOKE, STREAM = "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"


def grant_invoke(role: iam.Role, model_id: str, *, streamed: bool = False) -> None:
    """Allow a role to invoke a model and, with `streamed`, to receive its answer in pieces.

    A call through an inference profile is checked against the profile and against the model in the region that
    the call is sent to. AWS chooses those regions and may add more, so the model is allowed in every region,
    but only through the profile.
    """
    stack = Stack.of(role)
    profile = PROFILE.match(model_id)
    if profile is None:
        _allow(role, streamed, invoked_arn(stack, model_id))
        return
    profile_arn = invoked_arn(stack, model_id)
    _allow(role, streamed, profile_arn)
    _allow(
        role,
        streamed,
        _model_arn(stack, "*", profile["model"]),
        {"StringEquals": {"bedrock:InferenceProfileArn": profile_arn}},
    )
    partition = "<AWS::Partition>" if Token.is_unresolved(stack.partition) else stack.partition
    acknowledge(
        role.node.find_child("DefaultPolicy"),
        "The inference profile sends calls to regions of its geography: one model, and by condition through"
        " the profile only.",
        f"AwsSolutions-IAM5[Resource::arn:{partition}:bedrock:*::foundation-model/{profile['model']}]",
    )


def invoked_arn(stack: Stack, model_id: str) -> str:
    """Return the ARN that a call names: the inference profile's, or the model's in the stack's region."""
    if PROFILE.match(model_id):
        return stack.format_arn(service="bedrock", resource="inference-profile", resource_name=model_id)
    return _model_arn(stack, stack.region, model_id)


def foundation_model_arn(stack: Stack, model_id: str) -> str:
    """Return the ARN of a model, or of the model behind an inference profile, in whichever region
    the profile chooses."""
    profile = PROFILE.match(model_id)
    return _model_arn(stack, "*", profile["model"]) if profile else _model_arn(stack, stack.region, model_id)


def _allow(
    role: iam.Role, streamed: bool, arn: str, conditions: dict[str, dict[str, str]] | None = None
) -> None:
    actions = [INVOKE, STREAM] if streamed else [INVOKE]
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[arn], conditions=conditions))


def _model_arn(stack: Stack, region: str, model_id: str) -> str:
    return stack.format_arn(
        service="bedrock", region=region, account="", resource="foundation-model", resource_name=model_id
    )
