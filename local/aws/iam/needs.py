"""Which permissions a call needs: the actions and resources that IAM evaluates for an operation.

Written by hand from the service authorization reference, for the operations that roles of the templates call. An operation that is
not here is answered 501 with its name, so that the table grows by what fails instead of by guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from local.aws.kernel.api import Context, NotImplementedHere, Params

PROFILE_SCOPES = ("us", "eu", "apac", "global", "us-gov", "jp", "au", "ca")


@dataclass(frozen=True)
class Need:
    """One action upon one resource, with the condition keys of the request beyond those that every request has."""

    action: str
    resource: str = "*"
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Rule = Callable[[Params, Context], list[Need]]


def needs(context: Context, params: Params) -> list[Need]:
    """What the call needs. ``NotImplementedHere`` for an operation that is not in the table."""
    rule = RULES.get((context.service, context.operation))
    if rule is None:
        raise NotImplementedHere(
            "no rule in local/aws/iam/needs.py says which permission it needs: write one from the service authorization reference"
        )
    return rule(params, context)


def _plain(action: str) -> Rule:
    return lambda _, __: [Need(action)]


def _nothing(_: Params, __: Context) -> list[Need]:
    return []


def _on(action: str, service: str, resource: str, *, region: str | None = None) -> Rule:
    """An action upon a resource whose ARN ends with ``resource``, in which parameters stand in braces."""
    return lambda params, context: [
        Need(action, context.arn(service, resource.format_map(params), region=region))
    ]


def _by_arn(action: str, parameter: str) -> Rule:
    return lambda params, _: [Need(action, str(params[parameter]))]


def _model(action: str) -> Rule:
    """A model, or an inference profile and the model behind it in whatever region it routes to."""

    def rule(params: Params, context: Context) -> list[Need]:
        model = str(params["modelId"])
        if model.startswith("arn:"):
            return [Need(action, model)]
        scope, _, rest = model.partition(".")
        if scope not in PROFILE_SCOPES:
            return [Need(action, f"arn:aws:bedrock:{context.region}::foundation-model/{model}")]
        profile = context.arn("bedrock", f"inference-profile/{model}")
        keys = {"bedrock:inferenceprofilearn": (profile,)}
        return [
            Need(action, profile),
            Need(action, f"arn:aws:bedrock:{context.region}::foundation-model/{rest}", keys),
        ]

    return rule


def _table(action: str) -> Rule:
    def rule(params: Params, context: Context) -> list[Need]:
        table = str(params["TableName"]).rsplit("/", 1)[-1]
        index = f"/index/{params['IndexName']}" if params.get("IndexName") else ""
        return [Need(action, context.arn("dynamodb", f"table/{table}{index}"))]

    return rule


def _tables(action: str) -> Rule:
    return lambda params, context: [
        Need(action, context.arn("dynamodb", f"table/{table.rsplit('/', 1)[-1]}"))
        for table in params["RequestItems"]
    ]


def _object(action: str, key_action: str = "") -> Rule:
    """An object, and the customer key of its bucket."""

    def rule(params: Params, context: Context) -> list[Need]:
        found = [Need(action, f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")]
        key = context.cloud.bucket_key(str(params["Bucket"])) if key_action else None
        if key:
            found.append(Need(key_action, key, {"kms:viaservice": (f"s3.{context.region}.amazonaws.com",)}))
        return found

    return rule


def _list_bucket(params: Params, _: Context) -> list[Need]:
    keys = {"s3:prefix": (str(params.get("Prefix") or ""),)}
    return [Need("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}", keys)]


def _delete_objects(params: Params, _: Context) -> list[Need]:
    return [
        Need("s3:DeleteObject", f"arn:aws:s3:::{params['Bucket']}/{item['Key']}")
        for item in params["Delete"]["Objects"]
    ]


def _secret(params: Params, context: Context) -> list[Need]:
    name = str(params["SecretId"])
    arn = (
        name
        if name.startswith("arn:")
        else context.cloud.client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    )
    return [Need("secretsmanager:GetSecretValue", arn)]


def _parameter(action: str) -> Rule:
    def rule(params: Params, context: Context) -> list[Need]:
        names = params.get("Names") or [params["Name"]]
        return [Need(action, context.arn("ssm", f"parameter/{name.lstrip('/')}")) for name in names]

    return rule


def _log_group(action: str, name: str = "{logGroupName}") -> Rule:
    """A log group, which IAM names by its streams: a policy's ARN has to end with `:*`."""
    return _on(action, "logs", f"log-group:{name}:log-stream:")


def _log_stream(action: str) -> Rule:
    return _on(action, "logs", "log-group:{logGroupName}:log-stream:{logStreamName}")


def _put_metric_data(params: Params, _: Context) -> list[Need]:
    return [Need("cloudwatch:PutMetricData", keys={"cloudwatch:namespace": (str(params["Namespace"]),)})]


def _create_job(action: str, kind: str, name: str) -> Rule:
    """The job, and the role that is handed to SageMaker for it."""

    def rule(params: Params, context: Context) -> list[Need]:
        passed = {"iam:passedtoservice": ("sagemaker.amazonaws.com",)}
        return [
            Need(action, context.arn("sagemaker", f"{kind}/{params[name]}")),
            Need("iam:PassRole", str(params["RoleArn"]), passed),
        ]

    return rule


def _start_job_run(params: Params, context: Context) -> list[Need]:
    """The application, and the role that is handed to EMR Serverless for the run."""
    passed = {"iam:passedtoservice": ("emr-serverless.amazonaws.com",)}
    return [
        Need(
            "emr-serverless:StartJobRun",
            context.arn("emr-serverless", f"/applications/{params['applicationId']}"),
        ),
        Need("iam:PassRole", str(params["executionRoleArn"]), passed),
    ]


def _job_run(action: str) -> Rule:
    return _on(action, "emr-serverless", "/applications/{applicationId}/jobruns/{jobRunId}")


def _create_evaluation(params: Params, context: Context) -> list[Need]:
    """The models that judge, since the job has no ARN yet, and the role that is handed to Bedrock for it."""
    passed = {"iam:passedtoservice": ("bedrock.amazonaws.com",)}
    judges = params["evaluationConfig"]["automated"]["evaluatorModelConfig"]["bedrockEvaluatorModels"]
    models = (_unscoped(str(each["modelIdentifier"])) for each in judges)
    return [
        *(
            Need("bedrock:CreateEvaluationJob", f"arn:aws:bedrock:{context.region}::foundation-model/{model}")
            for model in models
        ),
        Need("iam:PassRole", str(params["roleArn"]), passed),
    ]


def _unscoped(model: str) -> str:
    """Return the model behind a cross-region inference profile's id."""
    scope, _, rest = model.partition(".")
    return rest if scope in PROFILE_SCOPES else model


def _user_pool(action: str) -> Rule:
    return _on(action, "cognito-idp", "userpool/{UserPoolId}")


def _policy_store(action: str) -> Rule:
    return _on(action, "verifiedpermissions", "policy-store/{policyStoreId}", region="")


def _function(params: Params, context: Context) -> list[Need]:
    name = str(params["FunctionName"])
    return [
        Need(
            "lambda:InvokeFunction",
            name if name.startswith("arn:") else context.arn("lambda", f"function:{name}"),
        )
    ]


RULES: dict[tuple[str, str], Rule] = {
    ("amp", "RemoteWrite"): _on("aps:RemoteWrite", "aps", "workspace/{workspaceId}"),
    ("aps", "RemoteWrite"): _on("aps:RemoteWrite", "aps", "workspace/{workspaceId}"),
    ("aps", "QueryMetrics"): _on("aps:QueryMetrics", "aps", "workspace/{workspaceId}"),
    ("bedrock", "CreateEvaluationJob"): _create_evaluation,
    ("bedrock", "GetEvaluationJob"): _by_arn("bedrock:GetEvaluationJob", "jobIdentifier"),
    ("bedrock-runtime", "ApplyGuardrail"): _on("bedrock:ApplyGuardrail", "bedrock", "guardrail/{guardrailIdentifier}"),
    ("bedrock-runtime", "Converse"): _model("bedrock:InvokeModel"),
    ("bedrock-runtime", "ConverseStream"): _model("bedrock:InvokeModelWithResponseStream"),
    ("bedrock-runtime", "InvokeGuardrailChecks"): _plain("bedrock:InvokeGuardrailChecks"),
    ("bedrock-runtime", "InvokeModel"): _model("bedrock:InvokeModel"),
    ("cloudwatch", "PutMetricData"): _put_metric_data,
    ("cognito-idp", "AdminGetUser"): _user_pool("cognito-idp:AdminGetUser"),
    ("cognito-idp", "ListUsers"): _user_pool("cognito-idp:ListUsers"),
    ("comprehend", "DetectPiiEntities"): _plain("comprehend:DetectPiiEntities"),
    ("comprehend", "DetectToxicContent"): _plain("comprehend:DetectToxicContent"),
    ("emr-serverless", "CancelJobRun"): _job_run("emr-serverless:CancelJobRun"),
    ("emr-serverless", "GetJobRun"): _job_run("emr-serverless:GetJobRun"),
    ("emr-serverless", "StartJobRun"): _start_job_run,
    ("dynamodb", "BatchGetItem"): _tables("dynamodb:BatchGetItem"),
    ("dynamodb", "BatchWriteItem"): _tables("dynamodb:BatchWriteItem"),
    ("dynamodb", "DeleteItem"): _table("dynamodb:DeleteItem"),
    ("dynamodb", "GetItem"): _table("dynamodb:GetItem"),
    ("dynamodb", "PutItem"): _table("dynamodb:PutItem"),
    ("dynamodb", "Query"): _table("dynamodb:Query"),
    ("dynamodb", "UpdateItem"): _table("dynamodb:UpdateItem"),
    ("firehose", "PutRecord"): _on("firehose:PutRecord", "firehose", "deliverystream/{DeliveryStreamName}"),
    ("firehose", "PutRecordBatch"): _on("firehose:PutRecordBatch", "firehose", "deliverystream/{DeliveryStreamName}"),
    ("lambda", "Invoke"): _function,
    ("logs", "CreateLogGroup"): _log_group("logs:CreateLogGroup"),
    ("logs", "CreateLogStream"): _log_stream("logs:CreateLogStream"),
    ("logs", "DescribeLogGroups"): _log_group("logs:DescribeLogGroups", ""),
    ("logs", "DescribeLogStreams"): _log_group("logs:DescribeLogStreams"),
    ("logs", "PutLogEvents"): _log_stream("logs:PutLogEvents"),
    ("s3", "AbortMultipartUpload"): _object("s3:AbortMultipartUpload"),
    ("s3", "CompleteMultipartUpload"): _object("s3:PutObject", "kms:Decrypt"),
    ("s3", "CreateMultipartUpload"): _object("s3:PutObject", "kms:GenerateDataKey"),
    ("s3", "DeleteObject"): _object("s3:DeleteObject"),
    ("s3", "DeleteObjects"): _delete_objects,
    ("s3", "GetObject"): _object("s3:GetObject", "kms:Decrypt"),
    ("s3", "HeadBucket"): _list_bucket,
    ("s3", "HeadObject"): _object("s3:GetObject", "kms:Decrypt"),
    ("s3", "ListObjects"): _list_bucket,
    ("s3", "ListObjectsV2"): _list_bucket,
    ("s3", "PutObject"): _object("s3:PutObject", "kms:GenerateDataKey"),
    ("s3", "UploadPart"): _object("s3:PutObject", "kms:GenerateDataKey"),
    ("sagemaker", "CallMlflowAppApi"): _by_arn("sagemaker:CallMlflowAppApi", "Arn"),
    ("sagemaker", "CreateLabelingJob"): _create_job("sagemaker:CreateLabelingJob", "labeling-job", "LabelingJobName"),
    ("sagemaker", "CreateProcessingJob"): _create_job("sagemaker:CreateProcessingJob", "processing-job", "ProcessingJobName"),
    ("sagemaker", "DescribeLabelingJob"): _on("sagemaker:DescribeLabelingJob", "sagemaker", "labeling-job/{LabelingJobName}"),
    ("sagemaker", "DescribeProcessingJob"): _on("sagemaker:DescribeProcessingJob", "sagemaker", "processing-job/{ProcessingJobName}"),
    ("sagemaker", "StopProcessingJob"): _on("sagemaker:StopProcessingJob", "sagemaker", "processing-job/{ProcessingJobName}"),
    ("secretsmanager", "GetSecretValue"): _secret,
    ("ssm", "GetParameter"): _parameter("ssm:GetParameter"),
    ("ssm", "GetParameters"): _parameter("ssm:GetParameters"),
    ("states", "StartExecution"): _by_arn("states:StartExecution", "stateMachineArn"),
    ("stepfunctions", "StartExecution"): _by_arn("states:StartExecution", "stateMachineArn"),
    ("sts", "GetCallerIdentity"): _nothing,
    ("verifiedpermissions", "BatchIsAuthorized"): _policy_store("verifiedpermissions:IsAuthorized"),
    ("verifiedpermissions", "BatchIsAuthorizedWithToken"): _policy_store("verifiedpermissions:IsAuthorizedWithToken"),
    ("verifiedpermissions", "GetSchema"): _policy_store("verifiedpermissions:GetSchema"),
    ("verifiedpermissions", "IsAuthorizedWithToken"): _policy_store("verifiedpermissions:IsAuthorizedWithToken"),
    ("verifiedpermissions", "ListPolicies"): _policy_store("verifiedpermissions:ListPolicies"),
    ("xray", "PutSpans"): _plain("xray:PutSpans"),
    ("xray", "PutTelemetryRecords"): _plain("xray:PutTelemetryRecords"),
    ("xray", "PutTraceSegments"): _plain("xray:PutTraceSegments"),
}  # fmt: skip
