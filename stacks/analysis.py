"""The Analysis stack: what people ask, day by day, and whether it changes. It changes with the job."""

from pathlib import Path

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from constructs import Construct
from constructs.acknowledge import acknowledge_keys
from constructs.alarms import notify
from constructs.bedrock_access import grant_invoke
from constructs.processing_job import ProcessingJob
from constructs.spark_application import SparkApplication

from settings import Settings
from stacks.base import FmopsStack
from stacks.foundation import Foundation
from stacks.knowledge import Knowledge
from stacks.observability import Observability
from stacks.tracking import Tracking

ROOT = Path(__file__).parents[1]
NAMESPACE = "FMOps/Analysis"
EMR_RELEASE = "emr-7.11.0"  # as in images/spark.Dockerfile: Spark 3.5.6


class Analysis(FmopsStack):
    """The embedding analysis: a scheduled job on SageMaker Processing, and alarms on what it finds."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
        tracking: Tracking,
        observability: Observability,
        knowledge: Knowledge | None,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: embedding analysis")
        self._settings, self._knowledge = settings, knowledge
        self._foundation, self._tracking, self._observability = foundation, tracking, observability
        self.spark = self._build_spark()
        self.job = self._build_job()
        self._grant()
        self._build_alarms()
        CfnOutput(self, "StateMachineArn", value=self.job.state_machine.state_machine_arn)

    def _build_spark(self) -> SparkApplication | None:
        """Add Spark beside the job, for windows too large for one machine: the job decides for each, and waits
        for the run."""
        if self._settings.analysis.engine == "embedded":
            return None
        return SparkApplication(
            self,
            "Spark",
            image=ROOT,
            dockerfile="images/spark.Dockerfile",
            built_by=self._settings.images,
            release=EMR_RELEASE,
            max_vcpus=self._settings.analysis.spark_max_vcpus,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _spark_environment(self) -> dict[str, str]:
        if self.spark is None:
            return {}
        options = self._settings.analysis
        return {
            "FMOPS_SPARK_APPLICATION_ID": self.spark.id,
            "FMOPS_SPARK_ROLE_ARN": self.spark.role.role_arn,
            "FMOPS_SPARK_FROM_GIB": str(options.spark_from_gib if options.engine == "auto" else 0),
            "FMOPS_SPARK_HOURS": str(options.max_hours),
        }

    def _report_environment(self) -> dict[str, str]:
        """Return the assistant's address, to which the report links, if it is known before the deployment."""
        domain = self._settings.assistant.domain
        return {"FMOPS_ASSISTANT_URL": f"https://{domain.name}"} if domain else {}

    def _build_job(self) -> ProcessingJob:
        options = self._settings.analysis
        return ProcessingJob(
            self,
            "Job",
            name=f"{self._settings.environment_name}-analyse",
            image=ROOT,
            dockerfile="images/jobs.Dockerfile",
            built_by=self._settings.images,
            module="fmops.jobs.analyse",
            environment={
                "FMOPS_ENVIRONMENT": self._settings.environment_name,
                "FMOPS_LAKE_BUCKET": self._foundation.lake.bucket.bucket_name,
                "FMOPS_INTERACTIONS_PREFIX": Foundation.INTERACTIONS,
                "MLFLOW_TRACKING_URI": self._tracking.mlflow.arn,
                "FMOPS_EMBEDDING_MODEL_ID": self._settings.assistant.embedding_model_id,
                "FMOPS_DESCRIPTION_MODEL_ID": options.description_model_id or "",
                "FMOPS_WINDOW_HOURS": str(options.window_hours),
                "FMOPS_BASELINE_WINDOWS": str(options.baseline_windows),
                "FMOPS_ALARM_WINDOWS": str(options.alarm_windows),
                **(self._knowledge.search_environment if self._knowledge else {}),
                **self._report_environment(),
                **self._spark_environment(),
            },
            instance_type=options.instance_type,
            volume_gib=options.volume_gib,
            max_runtime=Duration.hours(options.max_hours),
            schedule=options.schedule,
            scheduled_input={"arguments": ["--scheduled", "<aws.scheduler.scheduled-time>"]},
            key=self._foundation.lake.key,
            alarm_topic=self._observability.prometheus.alert_topic,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _grant(self) -> None:
        role, options = self.job.role, self._settings.analysis
        self._grant_lake(role)
        if self._knowledge is not None:
            self._grant_manifests(role)
        if self.spark is not None:
            self._grant_lake(self.spark.role)
            self.spark.grant_run(role)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
            )
        )
        if self._knowledge is None:  # else the documents' vectors are in the lake
            grant_invoke(role, self._settings.assistant.embedding_model_id)
        if options.description_model_id:
            grant_invoke(role, options.description_model_id)
        self._tracking.mlflow.grant_use(role)
        self._tracking.mlflow.grant_write_artifacts(role)

    def _grant_lake(self, role: iam.Role) -> None:
        bucket = self._foundation.lake.bucket
        read, write = f"{Foundation.INTERACTIONS}/*", f"{Foundation.ANALYSIS}/*"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[bucket.arn_for_objects(read), bucket.arn_for_objects(write)],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[bucket.arn_for_objects(write)])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [read, write]}},
            )
        )
        self._foundation.lake.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        reason = "Windows get new objects all the time: the job reads interactions, and writes below its own prefix."
        acknowledge_keys(role, reason, bucket, read, write)

    def _grant_manifests(self, role: iam.Role) -> None:
        """Allow the job to read what each ingestion wrote about the documents."""
        bucket, written = self._foundation.lake.bucket, f"{Foundation.KNOWLEDGE}/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects(written)])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [written]}},
            )
        )
        acknowledge_keys(role, "Each ingestion writes a manifest of its own.", bucket, written)

    def _build_alarms(self) -> None:
        watched = [
            ("Drift", "What people ask has changed: the report says how (docs/analysis.md)."),
            ("Incomparable", "The embedding model has changed: fit a new baseline (docs/analysis.md)."),
        ]
        if self._knowledge is not None:
            meaning = (
                "Changed documents no longer cover what people ask: the report names them (docs/analysis.md)."
            )
            watched.append(("DocumentDrift", meaning))
        alarms = [
            cloudwatch.Alarm(
                self,
                metric,
                alarm_description=meaning,
                metric=cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions_map={"Environment": self._settings.environment_name},
                    statistic="Maximum",
                    period=Duration.hours(min(self._settings.analysis.window_hours, 24)),
                ),
                threshold=1,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                # Between windows the state is kept: a drift is not over because there are no new data.
                treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
            )
            for metric, meaning in watched
        ]
        notify(alarms, self._observability.prometheus.alert_topic)
