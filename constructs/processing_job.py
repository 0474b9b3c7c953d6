"""A batch job in a container on SageMaker Processing, started by a state machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct
from constructs.acknowledge import acknowledge, in_findings
from constructs.alarms import notify
from constructs.application_image import ApplicationImage
from constructs.data_lifetime import DataLifetime
from constructs.logged_state_machine import logged_state_machine

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"


class ProcessingJob(Construct):
    """A state machine whose executions are runs of a batch job: each succeeds or fails with its run.

    An execution's input is an object; `{"arguments": ["--from", "2026-11-01"]}` gives the container's command
    arguments, 1 to 99 strings of at most 256 characters (limits of CreateProcessingJob). The job is never a
    resource of the template, since CloudFormation would run it at each deployment
    (`AWS::SageMaker::ProcessingJob`). Grant the job's permissions to `role`.

    Args:
        name: Beginning of the names of the runs: letters, digits and hyphens, at most 50.
        image: Folder with the Dockerfile.
        dockerfile: Path of the Dockerfile inside the folder.
        built_by: Who builds the image: `docker` on the deploying machine (the default), or
            `codebuild` (see `ApplicationImage`).
        module: Python module that the container runs, as `python -m <module>`.
        environment: Environment variables of the container, besides the region. Values have at most 256
            characters (limit of CreateProcessingJob). None by default.
        instance_type: Instance type of SageMaker Processing, such as `ml.m5.xlarge`: x86-64, without a local
            NVMe disk, which a customer managed key could not encrypt.
        volume_gib: Size of the run's disk in GiB.
        max_runtime: Maximum duration of a run; a longer one is stopped, which fails the execution.
        schedule: When to start the job, as `rate(...)` or `cron(...)` in UTC (EventBridge Scheduler). By
            default nothing starts it automatically.
        scheduled_input: Input of the executions that the schedule starts. `<aws.scheduler.scheduled-time>` in
            it becomes the time at which a run was due, whenever it starts.
        overdue_days: Number of days without a success after which an alarm rings for a job with a schedule;
            2 by default.
        key: KMS key that encrypts the run's disk.
        alarm_topic: SNS topic that is told when a run fails or is overdue. Nobody is told by default.
        lifetime: Whether the log groups of an image build in CodeBuild outlive the stack. Nothing else of the
            job is kept.
        log_retention: How long the state machine's log group keeps events. The containers write to SageMaker's
            own, which all jobs share.
    """

    LOOKS = 5
    """Number of looks after which the wait between them grows by a second: a short run is noticed soon, a long
    one takes few state transitions. The thousand looks that an array can count are 27 hours."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        image: Path,
        dockerfile: str = "Dockerfile",
        built_by: Literal["docker", "codebuild"] = "docker",
        module: str,
        environment: Mapping[str, str] | None = None,
        instance_type: str,
        volume_gib: int,
        max_runtime: Duration,
        key: kms.IKey,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
        schedule: str | None = None,
        scheduled_input: Mapping[str, Any] | None = None,
        overdue_days: int = 2,
        alarm_topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._module, self._environment = name, module, environment or {}
        self._instance_type, self._volume_gib = instance_type, volume_gib
        self._max_runtime, self._key = max_runtime, key
        self.image = ApplicationImage(
            self,
            "Image",
            folder=image,
            dockerfile=dockerfile,
            architecture="x86_64",  # SageMaker Processing has no other processors
            built_by=built_by,
            lifetime=lifetime,
            log_retention=log_retention,
        )
        self.role = self._build_role()
        self.state_machine: sfn.StateMachine = logged_state_machine(
            self,
            name=self._name,
            states=self._build_states(),
            timeout=self._max_runtime.plus(Duration.minutes(30)),
            log_retention=log_retention,
        )
        self._allow_runs()
        self.schedule = self._build_schedule(schedule, scheduled_input or {})
        self.alarms = self._build_alarms(overdue_days if schedule else None)
        if alarm_topic is not None:
            notify(self.alarms, alarm_topic)

    def _build_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description=f"What {self._module} may do",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        self.image.repository.grant_pull(role)
        log_group = self._arn("logs", f"log-group:{LOG_GROUP}")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogGroup", "logs:DescribeLogStreams"], resources=[f"{log_group}:*"]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[f"{log_group}:log-stream:{self._name}-*"],
            )
        )
        # SageMaker, on behalf of the job, allows EC2 to use the key for the run's disk.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:CreateGrant"],
                resources=[self._key.key_arn],
                conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "ecr:GetAuthorizationToken has no resources in IAM; each run has a log stream of its own, named"
            " after it.",
            "AwsSolutions-IAM5[Resource::*]",
            f"AwsSolutions-IAM5[Resource::{in_findings(self, log_group)}:log-stream:{self._name}-*]",
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "IAM names a log group by its streams: it is one group, and the actions make it and list its streams.",
            f"AwsSolutions-IAM5[Resource::{in_findings(self, log_group)}:*]",
        )
        return role

    def _build_states(self) -> sfn.IChainable:
        start = self._build_create()
        run = sfn.Choice(self, "Has arguments")
        run.when(
            sfn.Condition.is_present("$.arguments"), self._build_prepare("With arguments", True).next(start)
        )
        run.otherwise(self._build_prepare("Without arguments", False).next(start))

        wait = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.Wait"))
        longer = sfn.Pass(
            self,
            "Wait longer",
            parameters={
                "Name.$": "$.Name",
                "Looks.$": "States.MathAdd($.Looks, 1)",
                # The number of looks divided by LOOKS, rounded up.
                "Wait.$": "States.ArrayLength(States.ArrayPartition("
                f"States.ArrayRange(1, States.MathAdd($.Looks, 1), 1), {self.LOOKS}))",
            },
        )
        ended = sfn.Choice(self, "Ended?")
        status = sfn.Condition.string_equals
        ended.when(status("$.Job.ProcessingJobStatus", "Completed"), self._build_success())
        ended.when(
            sfn.Condition.and_(
                status("$.Job.ProcessingJobStatus", "Failed"), sfn.Condition.is_present("$.Job.FailureReason")
            ),
            self._build_failure("Failed", ", $.Job.FailureReason"),
        )
        ended.when(
            sfn.Condition.or_(
                status("$.Job.ProcessingJobStatus", "Failed"), status("$.Job.ProcessingJobStatus", "Stopped")
            ),
            self._build_failure("Stopped", ", 'no reason given'"),
        )
        ended.otherwise(longer.next(wait))
        start.next(wait).next(self._build_describe()).next(ended)
        return run

    def _build_prepare(self, title: str, with_arguments: bool) -> sfn.Pass:
        application: dict[str, Any] = {
            "ImageUri": self.image.uri,
            "ContainerEntrypoint": ["python", "-m", self._module],
        }
        if with_arguments:
            application["ContainerArguments.$"] = "$.arguments"
        # The last group of a UUID, because an execution's own name may be longer than a job's.
        unique = "States.ArrayGetItem(States.StringSplit(States.UUID(), '-'), 4)"
        return sfn.Pass(
            self,
            title,
            parameters={
                "Name.$": f"States.Format('{self._name}-{{}}', {unique})",
                "Looks": 1,
                "Wait": 1,
                "Application": application,
            },
        )

    def _build_create(self) -> tasks.CallAwsService:
        cluster = {
            "InstanceCount": 1,
            "InstanceType": self._instance_type,
            "VolumeSizeInGB": self._volume_gib,
            "VolumeKmsKeyId": self._key.key_arn,
        }
        region = Stack.of(self).region
        create = tasks.CallAwsService(
            self,
            "Create",
            service="sagemaker",
            action="createProcessingJob",
            iam_action="sagemaker:CreateProcessingJob",
            iam_resources=[self._run_arns],
            parameters={
                "ProcessingJobName": sfn.JsonPath.string_at("$.Name"),
                "ProcessingResources": {"ClusterConfig": cluster},
                "StoppingCondition": {"MaxRuntimeInSeconds": self._max_runtime.to_seconds()},
                "AppSpecification": sfn.JsonPath.object_at("$.Application"),
                "Environment": {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, **self._environment},
                "RoleArn": self.role.role_arn,
            },
            result_path="$.Created",
        )
        # An account has few instances of a type, and another run may hold them.
        create.add_retry(
            errors=["SageMaker.ResourceLimitExceededException"],
            interval=Duration.minutes(1),
            backoff_rate=2,
            max_attempts=6,
        )
        create.add_retry(
            errors=["SageMaker.SageMakerException"], interval=Duration.seconds(2), max_attempts=3
        )
        return create

    def _build_describe(self) -> tasks.CallAwsService:
        describe = tasks.CallAwsService(
            self,
            "Describe",
            service="sagemaker",
            action="describeProcessingJob",
            iam_action="sagemaker:DescribeProcessingJob",
            iam_resources=[self._run_arns],
            parameters={"ProcessingJobName": sfn.JsonPath.string_at("$.Name")},
            result_path="$.Job",
        )
        describe.add_retry(errors=["States.TaskFailed"], interval=Duration.seconds(5), max_attempts=5)
        return describe

    def _build_success(self) -> sfn.Pass:
        return sfn.Pass(
            self,
            "Succeeded",
            parameters={
                "ProcessingJobName.$": "$.Name",
                "ProcessingJobStatus.$": "$.Job.ProcessingJobStatus",
            },
        )

    def _build_failure(self, title: str, reason: str) -> sfn.Fail:
        text = f"Processing job {{}} is {{}}: {{}}. Its log is in {LOG_GROUP}, in the stream that begins with its name."
        return sfn.Fail(
            self,
            title,
            error="ProcessingJobFailed",
            cause_path=f"States.Format('{text}', $.Name, $.Job.ProcessingJobStatus{reason})",
        )

    def _allow_runs(self) -> None:
        """Grant what the state machine needs beside the two calls: to pass the role, and to see which key
        the disk has."""
        machine = self.state_machine.role
        machine.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
        machine.add_to_principal_policy(
            iam.PolicyStatement(actions=["kms:DescribeKey"], resources=[self._key.key_arn])
        )
        acknowledge(
            machine.node.find_child("DefaultPolicy"),
            "Each run has a new name that begins with the job's; X-Ray and the delivery of logs have no"
            " resources in IAM.",
            "AwsSolutions-IAM5[Resource::*]",
            f"AwsSolutions-IAM5[Resource::{in_findings(self, self._run_arns)}]",
        )

    def _build_schedule(
        self, expression: str | None, scheduled_input: Mapping[str, Any]
    ) -> scheduler.Schedule | None:
        if expression is None:
            return None
        return scheduler.Schedule(
            self,
            "Schedule",
            schedule=scheduler.ScheduleExpression.expression(expression),
            time_window=scheduler.TimeWindow.flexible(Duration.minutes(15)),
            target=targets.StepFunctionsStartExecution(
                self.state_machine, input=scheduler.ScheduleTargetInput.from_object(dict(scheduled_input))
            ),
        )

    def _build_alarms(self, overdue_days: int | None) -> list[cloudwatch.Alarm]:
        machine = self.state_machine
        hour = Duration.hours(1)
        failed = cloudwatch.Alarm(
            self,
            "FailedAlarm",
            alarm_description=f"A run of {self._name} failed, ran out of time or was aborted. "
            "The execution's cause names the run; its log is in CloudWatch Logs.",
            metric=cloudwatch.MathExpression(
                expression="failed + timed_out + aborted",
                using_metrics={
                    "failed": machine.metric_failed(period=hour),
                    "timed_out": machine.metric_timed_out(period=hour),
                    "aborted": machine.metric_aborted(period=hour),
                },
                period=hour,
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if overdue_days is None:
            return [failed]
        overdue = cloudwatch.Alarm(
            self,
            "OverdueAlarm",
            alarm_description=f"{self._name} has not succeeded for {overdue_days} days, although it has a schedule.",
            metric=machine.metric_succeeded(period=Duration.days(1)),
            threshold=1,
            evaluation_periods=overdue_days,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        return [failed, overdue]

    @property
    def _run_arns(self) -> str:
        return self._arn("sagemaker", f"processing-job/{self._name}-*")

    def _arn(self, service: str, resource: str) -> str:
        stack = Stack.of(self)
        return f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}:{resource}"
