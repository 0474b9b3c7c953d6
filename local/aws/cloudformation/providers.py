"""API calls for resource types that moto's CloudFormation does not create, or creates incompletely.

Each entry is one type. `ref` and `attributes` are format strings over the answer (`a`), the call's parameters
(`p`), and `region`, `account`, `endpoint`. Properties that the operation has no parameter for are reported.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.aws.kernel.cloud import Cloud

Properties = dict[str, Any]
MAX_NAME = 60
# moto has these types but fails on the properties in our templates; standins.yaml gives the reason
# for each stand-in.
UNFIT_IN_MOTO = {"AWS::EC2::FlowLog", "AWS::EC2::VPCEndpoint", "AWS::Route53::RecordSet"}


@dataclass(frozen=True)
class Provider:
    service: str
    operation: str
    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None  # parameter that takes the generated name if the template gives none
    lower: bool = False  # names of the service have no capitals, so that the generated one has none
    prepare: Callable[[Properties], Properties] | None = None
    after: Callable[[Cloud, Properties, Properties], None] | None = (
        None  # (cloud, template properties, answer)
    )


def _log_group(properties: Properties) -> Properties:
    # Nothing here outlives a run, so there is nothing to retain.
    return {key: value for key, value in properties.items() if key != "RetentionInDays"}


def _user_pool(properties: Properties) -> Properties:
    names = {"UserPoolName": "PoolName", "Schema": "Schema"}
    # MFA needs a second call, which takes EnabledMfas as a parameter.
    return {
        names.get(key, key): value
        for key, value in properties.items()
        if key not in ("EnabledMfas", "MfaConfiguration")
    }


def _user_pool_mfa(cloud: Cloud, properties: Properties, answer: Properties) -> None:
    mode = properties.get("MfaConfiguration", "OFF")
    if mode != "OFF":
        if properties.get("EnabledMfas") != ["SOFTWARE_TOKEN_MFA"]:
            raise ValueError(
                f"EnabledMfas {properties.get('EnabledMfas')}: the local AWS has SOFTWARE_TOKEN_MFA"
            )
        cloud.client("cognito-idp").set_user_pool_mfa_config(
            UserPoolId=answer["UserPool"]["Id"],
            MfaConfiguration=mode,
            SoftwareTokenMfaConfiguration={"Enabled": True},
        )


def _policy_store(properties: Properties) -> Properties:
    kept = {key: value for key, value in properties.items() if key != "Schema"}
    if "DeletionProtection" in kept:
        kept["DeletionProtection"] = kept["DeletionProtection"]["Mode"]
    return kept


def _policy_store_schema(cloud: Cloud, properties: Properties, answer: Properties) -> None:
    if schema := properties.get("Schema"):
        cloud.client("verifiedpermissions").put_schema(
            policyStoreId=answer["policyStoreId"], definition={"cedarJson": schema["CedarJson"]}
        )


def _index_spans(cloud: Cloud, properties: Properties, _: Properties) -> None:
    if (percent := properties.get("IndexingPercentage")) is not None:
        rule = {"Probabilistic": {"DesiredSamplingPercentage": float(percent)}}
        cloud.client("xray").update_indexing_rule(Name="Default", Rule=rule)


def _secret(properties: Properties) -> Properties:
    """Return the string of GenerateSecretString as Secrets Manager does: random, alone or as a key of
    a JSON template."""
    kept = {key: value for key, value in properties.items() if key != "GenerateSecretString"}
    rule = properties.get("GenerateSecretString")
    if rule is not None:
        value = _random_string(rule)
        if "SecretStringTemplate" in rule:
            value = json.dumps({**json.loads(rule["SecretStringTemplate"]), rule["GenerateStringKey"]: value})
        kept["SecretString"] = value
    return kept


def _random_string(rule: Properties) -> str:
    kinds = {
        "ExcludeLowercase": string.ascii_lowercase,
        "ExcludeUppercase": string.ascii_uppercase,
        "ExcludeNumbers": string.digits,
        "ExcludePunctuation": string.punctuation,
    }
    alphabet = "".join(characters for excluded, characters in kinds.items() if not _true(rule.get(excluded)))
    alphabet = "".join(
        character for character in alphabet if character not in rule.get("ExcludeCharacters", "")
    )
    return "".join(secrets.choice(alphabet) for _ in range(int(rule.get("PasswordLength", 32))))


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _rule_groups(properties: Properties) -> Properties:
    workspace = properties["Workspace"].rsplit("/", 1)[-1]
    return {"workspaceId": workspace, "name": properties["Name"], "data": properties["Data"].encode()}


def _work_group(properties: Properties) -> Properties:
    renamed = {"WorkGroupConfiguration": "Configuration"}
    return {
        renamed.get(key, key): value for key, value in properties.items() if key != "RecursiveDeleteOption"
    }


def _guardrail(properties: Properties) -> Properties:
    """Use the API's name for the profile's ARN, which is an identifier there."""
    if profile := properties.get("CrossRegionConfig"):
        identifier = {"guardrailProfileIdentifier": profile["GuardrailProfileArn"]}
        return {**properties, "CrossRegionConfig": identifier}
    return properties


def _vector_bucket_time(cloud: Cloud, _: Properties, answer: Properties) -> None:
    bucket = cloud.client("s3vectors").get_vector_bucket(vectorBucketArn=answer["vectorBucketArn"])[
        "vectorBucket"
    ]
    answer["creationTime"] = bucket["creationTime"].isoformat()


def _index_time(cloud: Cloud, _: Properties, answer: Properties) -> None:
    index = cloud.client("s3vectors").get_index(indexArn=answer["indexArn"])["index"]
    answer["creationTime"] = index["creationTime"].isoformat()


def _policy_bucket(cloud: Cloud, properties: Properties, answer: Properties) -> None:
    """Add the ARN of the bucket, which the template may name by either."""
    name = properties.get("VectorBucketName")
    answer["vectorBucketArn"] = properties.get("VectorBucketArn") or (
        f"arn:aws:s3vectors:{cloud.region}:{cloud.account}:bucket/{name}"
    )


def _active(_: Cloud, __: Properties, answer: Properties) -> None:
    """CloudFormation waits until the knowledge base is active."""
    answer["knowledgeBase"]["status"] = "ACTIVE"


def _certificate(properties: Properties) -> Properties:
    """Leave out the records that would validate the certificate, since nobody resolves names here."""
    return {key: properties[key] for key in ("DomainName", "ValidationMethod") if key in properties}


def _repository(properties: Properties) -> Properties:
    kept = {key: value for key, value in properties.items() if key != "EmptyOnDelete"}
    return {"RepositoryName": f"repository-{secrets.token_hex(6)}", **kept}


def _stage(properties: Properties) -> Properties:
    """Leave out settings of methods, which need a second call: nothing is throttled here."""
    return {key: value for key, value in properties.items() if key != "MethodSettings"}


def _queue_policy(properties: Properties) -> Properties:
    """Return the attributes of the one queue that the policy is of."""
    (queue,) = properties["Queues"]
    return {"QueueUrl": queue, "Attributes": {"Policy": json.dumps(properties["PolicyDocument"])}}


def _state_machine(properties: Properties) -> Properties:
    names = {"DefinitionString": "definition", "StateMachineName": "name", "StateMachineType": "type"}
    return {names.get(key, key): value for key, value in properties.items()}


def _scaling_policy(properties: Properties) -> Properties:
    """Split ScalingTargetId, the target's Ref, into resource, dimension and namespace."""
    prepared = dict(properties)
    target = prepared.pop("ScalingTargetId", None)
    if target:
        resource, dimension, namespace = target.split("|")
        prepared.update(ResourceId=resource, ScalableDimension=dimension, ServiceNamespace=namespace)
    return prepared


PROVIDERS: dict[str, Provider] = {
    "AWS::Cognito::UserPool": Provider(
        *("cognito-idp", "CreateUserPool", "{a[UserPool][Id]}"),
        {
            "Arn": "{a[UserPool][Arn]}",
            "UserPoolId": "{a[UserPool][Id]}",
            "ProviderName": "cognito-idp.{region}.amazonaws.com/{a[UserPool][Id]}",
            "ProviderURL": "https://cognito-idp.{region}.amazonaws.com/{a[UserPool][Id]}",
        },
        name="PoolName",
        prepare=_user_pool,
        after=_user_pool_mfa,
    ),
    "AWS::Cognito::UserPoolClient": Provider(
        *("cognito-idp", "CreateUserPoolClient", "{a[UserPoolClient][ClientId]}"),
        {"ClientId": "{a[UserPoolClient][ClientId]}", "Name": "{a[UserPoolClient][ClientName]}"},
        name="ClientName",
    ),
    "AWS::Cognito::UserPoolDomain": Provider(
        *("cognito-idp", "CreateUserPoolDomain", "{p[Domain]}"),
        {"Id": "{p[Domain]}", "CloudFrontDistribution": "{a[CloudFrontDomain]}"},
    ),
    "AWS::Cognito::ManagedLoginBranding": Provider(
        *(
            "cognito-idp",
            "CreateManagedLoginBranding",
            "{p[UserPoolId]}|{a[ManagedLoginBranding][ManagedLoginBrandingId]}",
        ),
        {"ManagedLoginBrandingId": "{a[ManagedLoginBranding][ManagedLoginBrandingId]}"},
    ),
    "AWS::Cognito::UserPoolGroup": Provider(
        "cognito-idp", "CreateGroup", "{a[Group][GroupName]}", name="GroupName"
    ),
    "AWS::VerifiedPermissions::PolicyStore": Provider(
        *("verifiedpermissions", "CreatePolicyStore", "{a[policyStoreId]}"),
        {"Arn": "{a[arn]}", "PolicyStoreId": "{a[policyStoreId]}"},
        prepare=_policy_store,
        after=_policy_store_schema,
    ),
    "AWS::VerifiedPermissions::Policy": Provider(
        *("verifiedpermissions", "CreatePolicy", "{a[policyId]}|{a[policyStoreId]}"),
        {"PolicyId": "{a[policyId]}", "PolicyType": "{a[policyType]}"},
    ),
    "AWS::VerifiedPermissions::PolicyTemplate": Provider(
        *("verifiedpermissions", "CreatePolicyTemplate", "{a[policyStoreId]}|{a[policyTemplateId]}"),
        {"PolicyTemplateId": "{a[policyTemplateId]}"},
    ),
    "AWS::VerifiedPermissions::PolicyStoreAlias": Provider(
        *("verifiedpermissions", "CreatePolicyStoreAlias", "{a[aliasName]}"), {"AliasArn": "{a[aliasArn]}"}
    ),
    "AWS::VerifiedPermissions::IdentitySource": Provider(
        *("verifiedpermissions", "CreateIdentitySource", "{a[identitySourceId]}|{a[policyStoreId]}"),
        {"IdentitySourceId": "{a[identitySourceId]}"},
    ),
    "AWS::KinesisFirehose::DeliveryStream": Provider(
        *("firehose", "CreateDeliveryStream", "{p[DeliveryStreamName]}"),
        {"Arn": "{a[DeliveryStreamARN]}"},
        name="DeliveryStreamName",
    ),
    "AWS::Bedrock::Guardrail": Provider(
        *("bedrock", "CreateGuardrail", "{a[guardrailArn]}"),
        {"GuardrailArn": "{a[guardrailArn]}", "GuardrailId": "{a[guardrailId]}", "Version": "{a[version]}"},
        prepare=_guardrail,
    ),
    "AWS::Bedrock::GuardrailVersion": Provider(
        *("bedrock", "CreateGuardrailVersion", "{a[guardrailId]}|{a[version]}"),
        {"GuardrailId": "{a[guardrailId]}", "Version": "{a[version]}"},
    ),
    "AWS::Bedrock::KnowledgeBase": Provider(
        *("bedrock-agent", "CreateKnowledgeBase", "{a[knowledgeBase][knowledgeBaseId]}"),
        {
            "KnowledgeBaseArn": "{a[knowledgeBase][knowledgeBaseArn]}",
            "KnowledgeBaseId": "{a[knowledgeBase][knowledgeBaseId]}",
            "Status": "{a[knowledgeBase][status]}",
            "CreatedAt": "{a[knowledgeBase][createdAt]:%Y-%m-%dT%H:%M:%SZ}",
            "UpdatedAt": "{a[knowledgeBase][updatedAt]:%Y-%m-%dT%H:%M:%SZ}",
        },
        after=_active,
    ),
    "AWS::Bedrock::DataSource": Provider(
        *(
            "bedrock-agent",
            "CreateDataSource",
            "{a[dataSource][knowledgeBaseId]}|{a[dataSource][dataSourceId]}",
        ),
        {
            "DataSourceId": "{a[dataSource][dataSourceId]}",
            "DataSourceStatus": "{a[dataSource][status]}",
            "CreatedAt": "{a[dataSource][createdAt]:%Y-%m-%dT%H:%M:%SZ}",
            "UpdatedAt": "{a[dataSource][updatedAt]:%Y-%m-%dT%H:%M:%SZ}",
        },
    ),
    "AWS::S3Vectors::VectorBucket": Provider(
        *("s3vectors", "CreateVectorBucket", "{a[vectorBucketArn]}"),
        {"VectorBucketArn": "{a[vectorBucketArn]}", "CreationTime": "{a[creationTime]}"},
        name="vectorBucketName",
        lower=True,
        after=_vector_bucket_time,
    ),
    "AWS::S3Vectors::Index": Provider(
        *("s3vectors", "CreateIndex", "{a[indexArn]}"),
        {"IndexArn": "{a[indexArn]}", "CreationTime": "{a[creationTime]}"},
        name="indexName",
        lower=True,
        after=_index_time,
    ),
    "AWS::S3Vectors::VectorBucketPolicy": Provider(
        *("s3vectors", "PutVectorBucketPolicy", "{a[vectorBucketArn]}"), after=_policy_bucket
    ),
    "AWS::EMRServerless::Application": Provider(
        *("emr-serverless", "CreateApplication", "{a[applicationId]}"),
        {"ApplicationId": "{a[applicationId]}", "Arn": "{a[arn]}"},
    ),
    "AWS::CertificateManager::Certificate": Provider(
        "acm", "RequestCertificate", "{a[CertificateArn]}", prepare=_certificate
    ),
    # moto's own resource uses the generated name unchanged, but names in ECR are lower case.
    "AWS::ECR::Repository": Provider(
        *("ecr", "CreateRepository", "{p[repositoryName]}"),
        {"Arn": "{a[repository][repositoryArn]}", "RepositoryUri": "{a[repository][repositoryUri]}"},
        prepare=_repository,
    ),
    "AWS::SageMaker::MlflowApp": Provider("sagemaker", "CreateMlflowApp", "{a[Arn]}", {"Arn": "{a[Arn]}"}),
    # moto's own resource has no Ref that others could use.
    "AWS::ApiGateway::Deployment": Provider("apigateway", "CreateDeployment", "{a[id]}"),
    "AWS::ApiGateway::Stage": Provider(*("apigateway", "CreateStage", "{p[stageName]}"), prepare=_stage),
    "AWS::SQS::QueuePolicy": Provider("sqs", "SetQueueAttributes", "{p[QueueUrl]}", prepare=_queue_policy),
    # moto's own mapping would call Docker.
    "AWS::Lambda::EventSourceMapping": Provider(
        *("lambda", "CreateEventSourceMapping", "{a[UUID]}"),
        {"Id": "{a[UUID]}", "EventSourceMappingArn": "{a[EventSourceMappingArn]}"},
    ),
    "AWS::APS::Workspace": Provider(
        *("amp", "CreateWorkspace", "{a[arn]}"),
        {
            "Arn": "{a[arn]}",
            "WorkspaceId": "{a[workspaceId]}",
            "PrometheusEndpoint": "{endpoint}/workspaces/{a[workspaceId]}/",
        },
    ),
    "AWS::APS::RuleGroupsNamespace": Provider(
        *("amp", "CreateRuleGroupsNamespace", "{a[arn]}"), {"Arn": "{a[arn]}"}, prepare=_rule_groups
    ),
    "AWS::SecretsManager::Secret": Provider(
        *("secretsmanager", "CreateSecret", "{a[ARN]}"), {"Id": "{a[ARN]}"}, name="Name", prepare=_secret
    ),
    "AWS::Glue::Database": Provider("glue", "CreateDatabase", "{p[DatabaseInput][Name]}"),
    "AWS::Glue::Table": Provider("glue", "CreateTable", "{p[TableInput][Name]}"),
    "AWS::Athena::WorkGroup": Provider("athena", "CreateWorkGroup", "{p[Name]}", prepare=_work_group),
    # moto's own resource has an ARN that no log stream matches.
    "AWS::Logs::LogGroup": Provider(
        *("logs", "CreateLogGroup", "{p[logGroupName]}"),
        {"Arn": "arn:aws:logs:{region}:{account}:log-group:{p[logGroupName]}:*"},
        name="logGroupName",
        prepare=_log_group,
    ),
    "AWS::Logs::LogStream": Provider("logs", "CreateLogStream", "{p[logStreamName]}", name="logStreamName"),
    # moto's own resource drops TaskRoleArn, and with it the identity of every container.
    "AWS::ECS::TaskDefinition": Provider(
        *("ecs", "RegisterTaskDefinition", "{a[taskDefinition][taskDefinitionArn]}"),
        {"TaskDefinitionArn": "{a[taskDefinition][taskDefinitionArn]}"},
        name="family",
    ),
    # moto's own resource drops the load balancers.
    "AWS::ECS::Service": Provider(
        *("ecs", "CreateService", "{a[service][serviceArn]}"),
        {"Name": "{a[service][serviceName]}", "ServiceArn": "{a[service][serviceArn]}"},
        name="serviceName",
    ),
    "AWS::CloudWatch::Alarm": Provider(
        *("cloudwatch", "PutMetricAlarm", "{p[AlarmName]}"),
        {"Arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{p[AlarmName]}"},
        name="AlarmName",
    ),
    # moto's interpreter does not know its own resource.
    "AWS::SSM::Parameter": Provider(  # moto generates no name
        "ssm", "PutParameter", "{p[Name]}", {"Type": "{p[Type]}", "Value": "{p[Value]}"}, name="Name"
    ),
    "AWS::StepFunctions::StateMachine": Provider(
        *("stepfunctions", "CreateStateMachine", "{a[stateMachineArn]}"),
        {"Arn": "{a[stateMachineArn]}", "Name": "{p[name]}"},
        name="name",
        prepare=_state_machine,
    ),
    "AWS::XRay::TransactionSearchConfig": Provider(
        *("xray", "UpdateTraceSegmentDestination", "{account}"),
        {"AccountId": "{account}"},
        prepare=lambda _: {"Destination": "CloudWatchLogs"},
        after=_index_spans,
    ),
    "AWS::Scheduler::Schedule": Provider(
        *("scheduler", "CreateSchedule", "{p[Name]}"), {"Arn": "{a[ScheduleArn]}"}, name="Name"
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": Provider(
        *(
            "application-autoscaling",
            "RegisterScalableTarget",
            "{p[ResourceId]}|{p[ScalableDimension]}|{p[ServiceNamespace]}",
        ),
        {"Id": "{p[ResourceId]}|{p[ScalableDimension]}|{p[ServiceNamespace]}"},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Provider(
        *("application-autoscaling", "PutScalingPolicy", "{a[PolicyARN]}"),
        {"Arn": "{a[PolicyARN]}"},
        prepare=_scaling_policy,
    ),
}
