"""The policy statements of synthesized templates, with their resources written out as IAM would see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Templates = Mapping[str, Mapping[str, Any]]

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "111122223333",
    "AWS::URLSuffix": "amazonaws.com",
}
IN_REGION = "arn:aws:{}:eu-west-1:111122223333:{}"
ARNS = {
    "AWS::APS::Workspace": IN_REGION.format("aps", "workspace/ws-1"),
    "AWS::Bedrock::KnowledgeBase": IN_REGION.format("bedrock", "knowledge-base/KB12345678"),
    "AWS::S3Vectors::Index": IN_REGION.format("s3vectors", "bucket/v/index/i"),
    "AWS::Bedrock::Guardrail": IN_REGION.format("bedrock", "guardrail/g1"),
    "AWS::CodeBuild::Project": IN_REGION.format("codebuild", "project/p"),
    "AWS::CodePipeline::Pipeline": IN_REGION.format("codepipeline", "p"),
    "AWS::Cognito::UserPool": IN_REGION.format("cognito-idp", "userpool/eu-west-1_p"),
    "AWS::DynamoDB::Table": IN_REGION.format("dynamodb", "table/t"),
    "AWS::ECR::Repository": IN_REGION.format("ecr", "repository/r"),
    "AWS::EMRServerless::Application": IN_REGION.format("emr-serverless", "/applications/a"),
    "AWS::IAM::OIDCProvider": "arn:aws:iam::111122223333:oidc-provider/p",
    "AWS::IAM::Role": "arn:aws:iam::111122223333:role/r",
    "AWS::KMS::Key": IN_REGION.format("kms", "key/k"),
    "AWS::KinesisFirehose::DeliveryStream": IN_REGION.format("firehose", "deliverystream/s"),
    "AWS::Lambda::Function": IN_REGION.format("lambda", "function:f"),
    "AWS::Lambda::Version": IN_REGION.format("lambda", "function:f:1"),
    "AWS::Lambda::Alias": IN_REGION.format("lambda", "function:f:a"),
    "AWS::Logs::LogGroup": IN_REGION.format("logs", "log-group:g:*"),
    "AWS::S3::Bucket": "arn:aws:s3:::b",
    "AWS::SNS::Topic": IN_REGION.format("sns", "t"),
    "AWS::SQS::Queue": IN_REGION.format("sqs", "q"),
    "AWS::SageMaker::MlflowApp": IN_REGION.format("sagemaker", "mlflow-app/app-1"),
    "AWS::SecretsManager::Secret": IN_REGION.format("secretsmanager", "secret:s-abcdef"),
    "AWS::StepFunctions::StateMachine": IN_REGION.format("states", "stateMachine:m"),
    "AWS::VerifiedPermissions::PolicyStore": "arn:aws:verifiedpermissions::111122223333:policy-store/s",
}
"""An example ARN of each type whose resources policies name."""
REF_IS_ARN = {
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachine",
    "AWS::Lambda::Version",
}
ATTRIBUTES = {"Arn", "GuardrailArn", "IndexArn", "KnowledgeBaseArn", "TopicArn"}


@dataclass(frozen=True)
class Statement:
    """The permissions of one statement, and the place where it is defined."""

    where: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def allowed(templates: Templates) -> Iterator[Statement]:
    """Yield every statement by which an identity policy of the templates allows something."""
    exports = {
        output["Export"]["Name"]: (template, output["Value"])
        for template in templates.values()
        for output in template.get("Outputs", {}).values()
        if isinstance(output.get("Export", {}).get("Name"), str)
    }
    for stack, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            for document in _documents(resource):
                for statement in _list(document["Statement"]):
                    if statement["Effect"] == "Allow":
                        yield Statement(
                            f"{stack}/{logical_id}",
                            tuple(_list(statement["Action"])),
                            tuple(_text(each, template, exports) for each in _list(statement["Resource"])),
                        )


def _documents(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    properties = resource.get("Properties", {})
    if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        yield properties["PolicyDocument"]
    elif resource["Type"] == "AWS::IAM::Role":
        yield from (each["PolicyDocument"] for each in properties.get("Policies", ()))


def _text(value: Any, template: Mapping[str, Any], exports: Mapping[str, Any]) -> str:
    """Return the text of an intrinsic function."""
    if isinstance(value, str):
        return value
    ((function, given),) = value.items()
    match function:
        case "Fn::Join":
            return str(given[0]).join(_text(each, template, exports) for each in given[1])
        case "Fn::ImportValue":
            source, exported = exports[given]
            return _text(exported, source, exports)
        case "Ref" if given in PSEUDO:
            return PSEUDO[given]
        case "Ref" if given not in template["Resources"]:
            return "parameter"
        case "Ref":
            kind = template["Resources"][given]["Type"]
            return ARNS[kind] if kind in REF_IS_ARN else "name"
        case "Fn::GetAtt" if given[1] in ATTRIBUTES:
            return ARNS[template["Resources"][given[0]]["Type"]]
        case "Fn::GetAtt":
            return "name"
        case "Fn::Sub":
            return str(given if isinstance(given, str) else given[0])
        case "Fn::Select" | "Fn::Split":
            return "name"
    raise ValueError(f"{function} in a policy: say in tests/stacks/statements.py what it becomes")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
