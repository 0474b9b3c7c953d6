"""Bedrock model evaluation jobs that use a judge model, started and followed by a state machine."""

from typing import Any

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct
from constructs.acknowledge import acknowledge, acknowledge_keys
from constructs.bedrock_access import foundation_model_arn, grant_invoke
from constructs.logged_state_machine import logged_state_machine


class BedrockEvaluation(Construct):
    """A state machine whose executions are Bedrock evaluation jobs: CreateEvaluationJob has no CloudFormation
    type.

    An execution's input has `name`, `source` (of the answers), `dataset` and `output` (S3 addresses below the
    prefix) and `metrics`; its output has the job's ARN. Allow a role to start executions with
    `grant_start_execution` of `state_machine`.

    Args:
        name: Name of the environment, with which the log group's name begins.
        bucket: Bucket with the datasets and the results.
        prefix: Key prefix of datasets and results, without slashes at the ends.
        judge_model_id: Id of the judge: a model or an inference profile that Bedrock accepts as one.
        log_retention: How long the state machine's log group keeps events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        bucket: s3.Bucket,
        prefix: str,
        judge_model_id: str,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self._judge = judge_model_id
        self._jobs = Stack.of(self).format_arn(
            service="bedrock", resource="evaluation-job", resource_name="*"
        )
        self.role = self._build_role(bucket, prefix)
        self.state_machine: sfn.StateMachine = logged_state_machine(
            self,
            name=f"{name}-bedrock-evaluation",
            states=self._build_states(),
            timeout=Duration.hours(24),
            log_retention=log_retention,
        )
        self._allow_jobs()

    def _build_role(self, bucket: s3.Bucket, prefix: str) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description="What Bedrock may do in an evaluation job",
            assumed_by=iam.ServicePrincipal(
                "bedrock.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": Stack.of(self).account},
                    "ArnLike": {"aws:SourceArn": self._jobs},
                },
            ),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject"], resources=[bucket.arn_for_objects(f"{prefix}/*")]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket", "s3:GetBucketLocation"],
                resources=[bucket.bucket_arn],
                conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*"]}},
            )
        )
        if bucket.encryption_key is not None:
            bucket.encryption_key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        grant_invoke(role, self._judge)
        acknowledge_keys(
            role, "Each job has its own dataset and results below the prefix.", bucket, f"{prefix}/*"
        )
        return role

    def _build_states(self) -> sfn.IChainable:
        prepare = sfn.Pass(self, "Prepare", parameters={"Wait": 1, "Input.$": "$"})
        wait = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.Wait"))
        longer = sfn.Pass(
            self,
            "Wait longer",
            parameters={"Created.$": "$.Created", "Wait.$": "States.MathAdd($.Wait, 5)"},
        )
        ended = sfn.Choice(self, "Ended?")
        ended.when(
            sfn.Condition.string_equals("$.Job.Status", "Completed"),
            sfn.Pass(
                self, "Succeeded", parameters={"JobArn.$": "$.Created.JobArn", "Status.$": "$.Job.Status"}
            ),
        )
        ended.when(
            sfn.Condition.or_(
                *(
                    sfn.Condition.string_equals("$.Job.Status", each)
                    for each in ("Failed", "Stopped", "Stopping")
                )
            ),
            sfn.Fail(
                self,
                "Failed",
                error="EvaluationJobFailed",
                cause_path="States.Format('Evaluation job {} is {}. Its reason is in Bedrock.',"
                " $.Created.JobArn, $.Job.Status)",
            ),
        )
        ended.otherwise(longer.next(wait))
        return prepare.next(self._build_create()).next(wait).next(self._build_describe()).next(ended)

    def _build_create(self) -> tasks.CallAwsService:
        dataset = {"Name": "answers", "DatasetLocation": {"S3Uri": sfn.JsonPath.string_at("$.Input.dataset")}}
        judged: dict[str, Any] = {
            "TaskType": "General",
            "Dataset": dataset,
            "MetricNames": sfn.JsonPath.list_at("$.Input.metrics"),
        }
        source = {"InferenceSourceIdentifier": sfn.JsonPath.string_at("$.Input.source")}
        create = tasks.CallAwsService(
            self,
            "Create",
            service="bedrock",
            action="createEvaluationJob",
            # The job has no ARN before it exists, so the permission names the judge, as the service
            # authorization reference does.
            iam_resources=[foundation_model_arn(Stack.of(self), self._judge)],
            parameters={
                "JobName": sfn.JsonPath.string_at("$.Input.name"),
                "RoleArn": self.role.role_arn,
                "ApplicationType": "ModelEvaluation",
                "EvaluationConfig": {
                    "Automated": {
                        "DatasetMetricConfigs": [judged],
                        "EvaluatorModelConfig": {
                            "BedrockEvaluatorModels": [{"ModelIdentifier": self._judge}]
                        },
                    }
                },
                "InferenceConfig": {"Models": [{"PrecomputedInferenceSource": source}]},
                "OutputDataConfig": {"S3Uri": sfn.JsonPath.string_at("$.Input.output")},
            },
            result_path="$.Created",
        )
        create.add_retry(
            errors=["Bedrock.ThrottlingException"], interval=Duration.seconds(30), max_attempts=5
        )
        return create

    def _build_describe(self) -> tasks.CallAwsService:
        describe = tasks.CallAwsService(
            self,
            "Describe",
            service="bedrock",
            action="getEvaluationJob",
            iam_resources=[self._jobs],
            parameters={"JobIdentifier": sfn.JsonPath.string_at("$.Created.JobArn")},
            result_selector={"Status.$": "$.Status"},
            result_path="$.Job",
        )
        describe.add_retry(errors=["States.TaskFailed"], interval=Duration.seconds(5), max_attempts=5)
        return describe

    def _allow_jobs(self) -> None:
        machine = self.state_machine.role
        machine.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
            )
        )
        partition, region, account = (
            f"<AWS::{name}>" if Token.is_unresolved(value) else value
            for name, value in (
                ("Partition", Stack.of(self).partition),
                ("Region", Stack.of(self).region),
                ("AccountId", Stack.of(self).account),
            )
        )
        model = foundation_model_arn(Stack.of(self), self._judge).rpartition("/")[2]
        acknowledge(
            machine.node.find_child("DefaultPolicy"),
            "Each job gets its id from Bedrock; an inference profile chooses its model's region; X-Ray and"
            " the delivery of logs have no resources in IAM.",
            "AwsSolutions-IAM5[Resource::*]",
            f"AwsSolutions-IAM5[Resource::arn:{partition}:bedrock:{region}:{account}:evaluation-job/*]",
            f"AwsSolutions-IAM5[Resource::arn:{partition}:bedrock:*::foundation-model/{model}]",
        )
