"""Ingestion of a knowledge base's documents, started by what arrives and every night, and checked when it ends."""

import re
from pathlib import Path

from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as event_targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as schedule_targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from constructs.acknowledge import acknowledge, acknowledge_keys, in_findings
from constructs.alarms import notify
from constructs.data_lifetime import DataLifetime
from constructs.knowledge_base import KnowledgeBase, through

FUNCTION = Path(__file__).parents[1] / "lambdas" / "ingestion"
NIGHTLY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


class DocumentIngestion(Construct):
    """A queue of changed documents, the function that starts ingestions and checks their outcome, a nightly schedule
    and alarms.

    A knowledge base runs one ingestion job at a time: what arrives meanwhile stays in the queue and comes back. A job
    ends well even if it ignored documents, so the function compares the folder, the knowledge base and the job. It
    writes a manifest of the documents and the vectors of each version of a document below `manifest_prefix`, and
    metrics, and tells the topic which documents cannot be found and why.

    The documents' bucket must send its events to EventBridge. Start an ingestion by hand by invoking the function
    with `{"action": "ingest"}`.

    Args:
        knowledge_base: Knowledge base that is kept up to date.
        manifest_bucket: Bucket of the manifests and vectors. Its key has to be the knowledge base's.
        manifest_prefix: Key prefix of the manifests and vectors, without a slash at its end.
        metric_namespace: CloudWatch namespace of the metrics `Documents`, `Chunks` and `Problems`.
        batch_window: Time for which changes are collected before an ingestion starts, at most five minutes; 20
            seconds by default.
        nightly: Time in UTC of an ingestion each night, such as `02:30`, which is the default.
        alarm_topic: SNS topic that is told of documents that cannot be found, and of alarms. Nobody is told by
            default.
        code: Folder of the function, with `handler.handler`. The function of this package by default.
        lifetime: Whether the function's log group outlives the stack.
        log_retention: How long the function's log group keeps events.
    """

    LOOK_SECONDS = 5
    """Seconds between two looks at a running job. A job of an hour costs 720 short invocations."""
    TIMEOUT = Duration.minutes(10)
    """Time for comparing the documents of a large knowledge base: each of its vectors is read."""
    DISK = Size.gibibytes(2)
    """Disk for the vectors of new versions of documents, 2 KB each at 1,024 dimensions."""
    VISIBILITY = Duration.minutes(15)
    """Time after which a message comes back whose function died: longer than its time-out with the batch window."""
    RECEIVES = 100
    """Receives after which a message is a dead letter. One that meets a running job comes back after 1 to 15
    minutes, so that it waits about 17 hours for jobs of others to end."""
    OLDEST = Duration.hours(6)
    """Age of a waiting message from which an alarm rings."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        knowledge_base: KnowledgeBase,
        manifest_bucket: s3.Bucket,
        manifest_prefix: str,
        metric_namespace: str,
        batch_window: Duration | None = None,
        nightly: str = "02:30",
        alarm_topic: sns.ITopic | None = None,
        code: Path = FUNCTION,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self._base, self._lifetime, self._log_retention = knowledge_base, lifetime, log_retention
        self._bucket, self._prefix = manifest_bucket, manifest_prefix
        self._namespace, self._topic = metric_namespace, alarm_topic
        self._window = batch_window or Duration.seconds(20)
        self.dead_letters, self.queue = self._build_queues()
        self._build_rule()
        self.role = self._build_role()
        self.function = self._build_function(code)
        self._grant()
        self._build_schedule(nightly)
        self.alarms = self._build_alarms()
        if alarm_topic is not None:
            notify(self.alarms, alarm_topic)

    def grant_start(self, grantee: iam.IGrantable) -> None:
        """Allow a principal to start an ingestion by invoking the function."""
        self.function.grant_invoke(grantee)

    def _build_queues(self) -> tuple[sqs.Queue, sqs.Queue]:
        dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=self.VISIBILITY,
            retention_period=Duration.days(14),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=self.RECEIVES),
        )
        return dead_letters, queue

    def _build_rule(self) -> None:
        """Send the documents' events to the queue. Its policy lets the rule send, and no other service."""
        events.Rule(
            self,
            "Changed",
            description="Documents that were published, changed or removed",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created", "Object Deleted"],
                detail={
                    "bucket": {"name": [self._base.bucket.bucket_name]},
                    "object": {"key": [{"prefix": f"{self._base.prefix}/"}]},
                },
            ),
            targets=[event_targets.SqsQueue(self.queue, dead_letter_queue=self.dead_letters)],
        )

    def _build_role(self) -> iam.Role:
        return iam.Role(
            self,
            "Role",
            description="Starts ingestions and compares their outcome with the folder",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )

    def _build_function(self, code: Path) -> lambda_.Function:
        log_group = logs.LogGroup(
            self, "Logs", retention=self._log_retention, removal_policy=self._lifetime.removal_policy
        )
        log_group.grant_write(self.role)
        function = lambda_.Function(
            self,
            "Function",
            description="Starts ingestions of documents, and checks what became of them",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(code), exclude=["__pycache__"]),
            timeout=self.TIMEOUT,
            memory_size=1024,
            ephemeral_storage_size=self.DISK,
            environment=self._environment(),
            role=self.role,
            log_group=log_group,
        )
        function.add_event_source(
            event_sources.SqsEventSource(
                self.queue,
                batch_size=10_000 if self._window.to_seconds() else 10,
                max_batching_window=self._window,
                max_concurrency=2,
                report_batch_item_failures=True,
            )
        )
        return function

    def _environment(self) -> dict[str, str]:
        base = self._base
        return {
            "KNOWLEDGE_BASE_ID": base.id,
            "DATA_SOURCE_ID": base.data_source_id,
            "INDEX_ARN": base.index_arn,
            "EMBEDDING_MODEL_ID": base.embedding_model_id,
            "DIMENSION": str(base.dimension),
            "DOCUMENTS_BUCKET": base.bucket.bucket_name,
            "DOCUMENTS_PREFIX": base.prefix,
            "MANIFEST_BUCKET": self._bucket.bucket_name,
            "MANIFEST_PREFIX": self._prefix,
            "QUEUE_URL": self.queue.queue_url,
            "METRIC_NAMESPACE": self._namespace,
            "WATCH_SECONDS": str(self.LOOK_SECONDS),
            **({"ALARM_TOPIC_ARN": self._topic.topic_arn} if self._topic else {}),
        }

    def _grant(self) -> None:
        """Allow the function what it does: to start and follow jobs, to list documents, to read vectors, and to
        write manifests."""
        base, stack = self._base, Stack.of(self)
        documents, written = f"{base.prefix}/*", f"{self._prefix}/*"
        jobs = ["StartIngestionJob", "GetIngestionJob", "ListKnowledgeBaseDocuments"]
        self._allow([f"bedrock:{action}" for action in jobs], base.arn)
        self._allow(["s3vectors:ListVectors", "s3vectors:GetVectors"], base.index_arn)
        listed = {"StringLike": {"s3:prefix": [documents]}}
        self._allow(["s3:ListBucket", "s3:ListBucketVersions"], base.bucket.bucket_arn, listed)
        self._allow(["s3:ListBucket"], self._bucket.bucket_arn, {"StringLike": {"s3:prefix": [written]}})
        self._allow(["s3:PutObject"], self._bucket.arn_for_objects(written))
        self._allow(["kms:Decrypt"], base.key.key_arn, through(stack, "s3vectors"))
        self._allow(["kms:GenerateDataKey"], base.key.key_arn, through(stack, "s3"))
        self._allow(["sqs:SendMessage"], self.queue.queue_arn)
        if self._topic is not None:
            self._allow(["sns:Publish"], self._topic.topic_arn)
        acknowledge_keys(self.role, "Each job has a manifest of its own.", self._bucket, written)

    def _allow(
        self, actions: list[str], resource: str, conditions: dict[str, dict[str, list[str]]] | None = None
    ) -> None:
        self.role.add_to_policy(
            iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions)
        )

    def _build_schedule(self, nightly: str) -> None:
        at = NIGHTLY.fullmatch(nightly)
        if at is None:
            raise ValueError(f"nightly is {nightly!r}, but must be a time in UTC such as 02:30")
        role = iam.Role(
            self,
            "ScheduleRole",
            description="Starts the nightly ingestion",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        scheduler.Schedule(
            self,
            "Nightly",
            schedule=scheduler.ScheduleExpression.expression(f"cron({int(at[2])} {int(at[1])} * * ? *)"),
            time_window=scheduler.TimeWindow.flexible(Duration.minutes(15)),
            target=schedule_targets.LambdaInvoke(
                self.function,
                input=scheduler.ScheduleTargetInput.from_object({"action": "ingest"}),
                role=role,
            ),
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "CDK's target allows the function with its versions, of which there are none.",
            f"AwsSolutions-IAM5[Resource::{in_findings(self, self.function.function_arn)}:*]",
        )

    def _build_alarms(self) -> list[cloudwatch.Alarm]:
        five_minutes = Duration.minutes(5)
        waiting = self.queue.metric_approximate_age_of_oldest_message(
            period=five_minutes, statistic="Maximum"
        )
        dead = self.dead_letters.metric_approximate_number_of_messages_visible(
            period=five_minutes, statistic="Maximum"
        )
        problems = cloudwatch.Metric(
            namespace=self._namespace, metric_name="Problems", statistic="Maximum", period=five_minutes
        )
        # Between ingestions the state is kept: a document is not found because no job has run since.
        ignore = cloudwatch.TreatMissingData.IGNORE
        return [
            self._build_alarm(
                "Problems",
                problems,
                "Documents cannot be found: the last message names each.",
                missing=ignore,
            ),
            self._build_alarm(
                "DeadLettersWait",
                dead,
                "Changes of documents were given up: see the function's log, then redrive.",
            ),
            self._build_alarm(
                "Waiting",
                waiting,
                "Changed documents wait for an ingestion: a job runs too long, or none can start.",
                threshold=self.OLDEST.to_seconds(),
            ),
            self._build_alarm(
                "Errors",
                self.function.metric_errors(period=five_minutes),
                "The function that starts and checks ingestions fails: see its log group.",
            ),
        ]

    def _build_alarm(
        self,
        id: str,  # noqa: A002 - CDK's name
        metric: cloudwatch.IMetric,
        meaning: str,
        *,
        threshold: float = 1,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description=meaning,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=missing,
        )
