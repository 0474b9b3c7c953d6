"""Which permissions a call needs: the actions and resources that IAM evaluates for an operation.

Written by hand from the service authorization reference, for the operations that roles of the templates call. An
operation that is
not here is answered 501 with its name, so that the table grows by what fails instead of by guesses.
"""

from __future__ import annotations

from local.aws.iam import needs_dynamodb, needs_knowledge, needs_s3
from local.aws.iam.need import Need, Rule, tag_keys, tagging
from local.aws.kernel.api import Context, NotImplementedHere, Params

PROFILE_SCOPES = ("us", "eu", "apac", "global", "us-gov", "jp", "au", "ca")


def needs(context: Context, params: Params) -> list[Need]:
    """Return the permissions that the call needs. Raises ``NotImplementedHere`` for an unknown operation."""
    rule = RULES.get((context.service, context.operation))
    if rule is None:
        raise NotImplementedHere(
            "no rule in local/aws/iam/needs.py says which permission it needs: write one from the service "
            "authorization reference"
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


def _secret(params: Params, context: Context) -> list[Need]:
    name = str(params["SecretId"])
    arn = (
        name
        if name.startswith("arn:")
        else context.cloud.client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    )
    keys = {
        f"secretsmanager:{name.lower()}": (str(params[name]),)
        for name in ("SecretId", "VersionId", "VersionStage")
        if params.get(name)
    }
    return [Need("secretsmanager:GetSecretValue", arn, keys)]


def _parameter(action: str) -> Rule:
    def rule(params: Params, context: Context) -> list[Need]:
        names = params.get("Names") or [params["Name"]]
        return [Need(action, context.arn("ssm", f"parameter/{name.lstrip('/')}")) for name in names]

    return rule


def _log_group(action: str, name: str = "{logGroupName}") -> Rule:
    """A log group, which IAM names by its streams: a policy's ARN has to end with `:*`."""
    return _on(action, "logs", f"log-group:{name}:log-stream:")


def _create_log_group(params: Params, context: Context) -> list[Need]:
    arn, tags = context.arn("logs", f"log-group:{params['logGroupName']}:log-stream:"), params.get("tags")
    return [
        Need("logs:CreateLogGroup", arn, tag_keys(tags)),
        *tagging("logs:TagResource", arn, tags),
    ]


def _log_stream(action: str) -> Rule:
    return _on(action, "logs", "log-group:{logGroupName}:log-stream:{logStreamName}")


def _put_metric_data(params: Params, _: Context) -> list[Need]:
    return [Need("cloudwatch:PutMetricData", keys={"cloudwatch:namespace": (str(params["Namespace"]),)})]


def _create_job(action: str, kind: str, name: str) -> Rule:
    """The job, and the role that is handed to SageMaker for it."""

    def rule(params: Params, context: Context) -> list[Need]:
        passed = {"iam:passedtoservice": ("sagemaker.amazonaws.com",)}
        arn, tags = context.arn("sagemaker", f"{kind}/{params[name]}"), params.get("Tags")
        return [
            Need(action, arn, tag_keys(tags)),
            Need("iam:PassRole", str(params["RoleArn"]), passed),
            *tagging("sagemaker:AddTags", arn, tags),
        ]

    return rule


def _start_job_run(params: Params, context: Context) -> list[Need]:
    """The application, and the role that is handed to EMR Serverless for the run."""
    passed = {"iam:passedtoservice": ("emr-serverless.amazonaws.com",)}
    application = context.arn("emr-serverless", f"/applications/{params['applicationId']}")
    return [
        Need("emr-serverless:StartJobRun", application, tag_keys(params.get("tags"))),
        Need("iam:PassRole", str(params["executionRoleArn"]), passed),
        *tagging("emr-serverless:TagResource", f"{application}/jobruns/new", params.get("tags")),
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
        *tagging("bedrock:TagResource", context.arn("bedrock", "evaluation-job/new"), params.get("jobTags")),
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
    """A function, or the version or alias of it that the name or the qualifier tells."""
    name = str(params["FunctionName"])
    # A partial ARN begins with the account.
    name = name.rpartition(":function:")[2] if not name.startswith("arn:") else name
    arn = name if name.startswith("arn:") else context.arn("lambda", f"function:{name}")
    qualifier = params.get("Qualifier")
    return [Need("lambda:InvokeFunction", f"{arn}:{qualifier}" if qualifier else arn)]


def _queue(action: str) -> Rule:
    """A queue, which requests name by its URL: the queue's name is the path's end."""
    return lambda params, context: [
        Need(f"sqs:{action}", context.arn("sqs", str(params["QueueUrl"]).rsplit("/", 1)[-1]))
    ]


RULES: dict[tuple[str, str], Rule] = {
    **needs_dynamodb.RULES,
    **needs_knowledge.RULES,
    **needs_s3.RULES,
    ("amp", "RemoteWrite"): _on("aps:RemoteWrite", "aps", "workspace/{workspaceId}"),
    ("aps", "RemoteWrite"): _on("aps:RemoteWrite", "aps", "workspace/{workspaceId}"),
    ("aps", "ListAlerts"): _on("aps:ListAlerts", "aps", "workspace/{workspaceId}"),
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
    ("firehose", "PutRecord"): _on("firehose:PutRecord", "firehose", "deliverystream/{DeliveryStreamName}"),
    ("firehose", "PutRecordBatch"): _on("firehose:PutRecordBatch", "firehose", "deliverystream/{DeliveryStreamName}"),
    ("lambda", "Invoke"): _function,
    ("logs", "CreateLogGroup"): _create_log_group,
    ("logs", "CreateLogStream"): _log_stream("logs:CreateLogStream"),
    ("logs", "DescribeLogGroups"): _log_group("logs:DescribeLogGroups", ""),
    ("logs", "DescribeLogStreams"): _log_group("logs:DescribeLogStreams"),
    ("logs", "PutLogEvents"): _log_stream("logs:PutLogEvents"),
    ("sagemaker", "CallMlflowAppApi"): _by_arn("sagemaker:CallMlflowAppApi", "Arn"),
    ("sagemaker", "CreateLabelingJob"): _create_job("sagemaker:CreateLabelingJob", "labeling-job", "LabelingJobName"),
    ("sagemaker", "CreatePresignedMlflowAppUrl"): _by_arn("sagemaker:CreatePresignedMlflowAppUrl", "Arn"),
    ("sagemaker", "CreateProcessingJob"): _create_job(
        "sagemaker:CreateProcessingJob", "processing-job", "ProcessingJobName"
    ),
    ("sagemaker", "DescribeLabelingJob"): _on(
        "sagemaker:DescribeLabelingJob", "sagemaker", "labeling-job/{LabelingJobName}"
    ),
    ("sagemaker", "DescribeProcessingJob"): _on(
        "sagemaker:DescribeProcessingJob", "sagemaker", "processing-job/{ProcessingJobName}"
    ),
    ("sagemaker", "StopProcessingJob"): _on(
        "sagemaker:StopProcessingJob", "sagemaker", "processing-job/{ProcessingJobName}"
    ),
    ("secretsmanager", "GetSecretValue"): _secret,
    ("sns", "Publish"): _by_arn("sns:Publish", "TopicArn"),
    ("sqs", "ChangeMessageVisibility"): _queue("ChangeMessageVisibility"),
    ("sqs", "ChangeMessageVisibilityBatch"): _queue("ChangeMessageVisibility"),
    ("sqs", "DeleteMessage"): _queue("DeleteMessage"),
    ("sqs", "DeleteMessageBatch"): _queue("DeleteMessage"),
    ("sqs", "GetQueueAttributes"): _queue("GetQueueAttributes"),
    ("sqs", "GetQueueUrl"): _on("sqs:GetQueueUrl", "sqs", "{QueueName}"),
    ("sqs", "ReceiveMessage"): _queue("ReceiveMessage"),
    ("sqs", "SendMessage"): _queue("SendMessage"),
    ("sqs", "SendMessageBatch"): _queue("SendMessage"),
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
    ("xray", "BatchGetTraces"): _plain("xray:BatchGetTraces"),
    ("xray", "CancelTraceRetrieval"): _plain("xray:CancelTraceRetrieval"),
    ("xray", "GetTraceSegmentDestination"): _plain("xray:GetTraceSegmentDestination"),
    ("xray", "ListRetrievedTraces"): _plain("xray:ListRetrievedTraces"),
    ("xray", "PutSpans"): _plain("xray:PutSpans"),
    ("xray", "PutTelemetryRecords"): _plain("xray:PutTelemetryRecords"),
    ("xray", "PutTraceSegments"): _plain("xray:PutTraceSegments"),
    ("xray", "StartTraceRetrieval"): _plain("xray:StartTraceRetrieval"),
}  # fmt: skip
