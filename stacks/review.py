"""The Review stack: which answers people look at, and what becomes of their labels. It changes with the job."""

import json
from pathlib import Path

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm
from constructs import Construct
from constructs.acknowledge import acknowledge_keys
from constructs.alarms import notify
from constructs.bedrock_access import grant_invoke
from constructs.bedrock_evaluation import BedrockEvaluation
from constructs.labeling_team import LabelingTeam
from constructs.processing_job import ProcessingJob
from constructs.tool_authorization import CognitoIdentity

from settings import Settings, SettingsError
from stacks.assistant import Assistant
from stacks.base import FmopsStack
from stacks.foundation import Foundation
from stacks.identity import Identity
from stacks.knowledge import Knowledge
from stacks.observability import Observability
from stacks.tracking import Tracking

ROOT = Path(__file__).parents[1]
NAMESPACE = "FMOps/Review"
JOURNAL = f"{Foundation.EVALUATION}/journal"
"""Key prefix of the answers and verdicts that evaluations have paid for."""


class Review(FmopsStack):
    """The review job: a scheduled job on SageMaker Processing that samples, and brings labels back."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
        identity: Identity,
        assistant: Assistant,
        tracking: Tracking,
        observability: Observability,
        knowledge: Knowledge | None,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: human review")
        self._settings, self._knowledge = settings, knowledge
        self._foundation, self._tracking, self._observability = foundation, tracking, observability
        # A job's variables hold 256 characters each, too few for these.
        self._guardrails = ssm.StringParameter(
            self,
            "Guardrails",
            description="The assistant's guardrail settings, whose thresholds sampling knows",
            string_value=json.dumps(settings.assistant.guardrails),
        )
        self.team = self._build_team(identity)
        self.job = self._build_job()
        self._grant()
        self._build_alarm()
        self.evaluation = BedrockEvaluation(
            self,
            "Evaluation",
            name=settings.environment_name,
            bucket=foundation.lake.bucket,
            prefix=f"{Foundation.EVALUATION}/bedrock",
            judge_model_id=settings.evaluation.judge_model_id,
            log_retention=self.log_retention,
        )
        self.evaluation_job = self._build_evaluation_job(identity, assistant)
        self._grant_evaluation(self.evaluation_job.role, identity, assistant)
        if knowledge is not None:
            for searching in (self.job.role, self.evaluation_job.role):
                knowledge.base.grant_retrieve(searching)
        CfnOutput(
            self,
            "EvaluationJobStateMachineArn",
            value=self.evaluation_job.state_machine.state_machine_arn,
        )
        CfnOutput(self, "StateMachineArn", value=self.job.state_machine.state_machine_arn)
        CfnOutput(self, "EvaluationStateMachineArn", value=self.evaluation.state_machine.state_machine_arn)

    def _build_team(self, identity: Identity) -> LabelingTeam | None:
        """Return Ground Truth's parts, for the accounts that have it."""
        if self._settings.review.backend != "ground_truth":
            return None
        if not isinstance(identity.provider, CognitoIdentity):
            raise SettingsError(
                "review.backend is ground_truth, whose workers sign in to the user pool, and identity "
                "has another issuer: use mlflow"
            )
        return LabelingTeam(
            self,
            "Labeling",
            name=f"{self._settings.environment_name}-review",
            pool=identity.provider.pool,
            group="reviewers",
            adjudicators="supervisors",
            domain=identity.domain,
            bucket=self._foundation.lake.bucket,
            prefix=f"{Foundation.REVIEW}/ground-truth",
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _labeling(self) -> dict[str, str]:
        if self.team is None:
            return {}
        return {
            "FMOPS_LABELING_WORKTEAM_ARN": self.team.workteam.attr_workteam_arn,
            "FMOPS_LABELING_ADJUDICATORS_ARN": self.team.adjudicators.attr_workteam_arn,
            "FMOPS_LABELING_ROLE_ARN": self.team.role.role_arn,
            "FMOPS_LABELING_PRE_FUNCTION_ARN": self.team.pre.function_arn,
            "FMOPS_LABELING_POST_FUNCTION_ARN": self.team.post.function_arn,
            "FMOPS_LABELING_NAME_PREFIX": f"{self._settings.environment_name}-review",
        }

    def _build_job(self) -> ProcessingJob:
        options = self._settings.review
        sampling = {
            "budget": options.budget,
            "random_share": options.random_share,
            "reviewers": options.reviewers,
        }
        return ProcessingJob(
            self,
            "Job",
            name=f"{self._settings.environment_name}-review",
            image=ROOT,
            dockerfile="images/jobs.Dockerfile",
            built_by=self._settings.images,
            module="fmops.jobs.review",
            environment={
                "FMOPS_ENVIRONMENT": self._settings.environment_name,
                "FMOPS_LAKE_BUCKET": self._foundation.lake.bucket.bucket_name,
                "MLFLOW_TRACKING_URI": self._tracking.mlflow.arn,
                "FMOPS_GUARDRAILS_PARAMETER": self._guardrails.parameter_name,
                "FMOPS_SAMPLING": json.dumps(sampling),
                "FMOPS_JUDGES": json.dumps(options.judges),
                "FMOPS_JUDGED": str(options.judged),
                "FMOPS_DAYS": str(options.days),
                "FMOPS_BACKEND": options.backend,
                **self._labeling(),
                **(self._knowledge.search_environment if self._knowledge else {}),
            },
            instance_type=options.instance_type,
            volume_gib=options.volume_gib,
            max_runtime=Duration.hours(1),
            schedule=options.schedule,
            scheduled_input={"arguments": ["--scheduled", "<aws.scheduler.scheduled-time>"]},
            key=self._foundation.lake.key,
            alarm_topic=self._observability.prometheus.alert_topic,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _build_evaluation_job(self, identity: Identity, assistant: Assistant) -> ProcessingJob:
        """Build the job for evaluations and experiments of the deployed assistant in its sandbox, started by
        hand or a pipeline."""
        options = self._settings.review
        # As they are deployed, with the ids of the resources that the stack has created.
        self._deployed_guardrails = ssm.StringParameter(
            self,
            "DeployedGuardrails",
            description="The assistant's guardrails, which evaluations answer behind",
            string_value=assistant.guardrails.settings_json,
        )
        bucket = self._foundation.lake.bucket.bucket_name
        return ProcessingJob(
            self,
            "EvaluationJob",
            name=f"{self._settings.environment_name}-evaluate",
            image=ROOT,
            dockerfile="images/jobs.Dockerfile",
            built_by=self._settings.images,
            module="fmops.jobs.evaluate",
            environment={
                "FMOPS_ENVIRONMENT": self._settings.environment_name,
                "FMOPS_LAKE_BUCKET": bucket,
                "FMOPS_GUARDRAILS_PARAMETER": self._deployed_guardrails.parameter_name,
                "FMOPS_MODEL_ID": self._settings.assistant.model_id,
                "FMOPS_MAX_OUTPUT_TOKENS": str(self._settings.assistant.max_output_tokens),
                "FMOPS_EMBEDDING_MODEL_ID": self._settings.assistant.embedding_model_id,
                "FMOPS_PRINCIPAL_PREFIX": identity.token_environment["FMOPS_PRINCIPAL_PREFIX"],
                "FMOPS_POLICY_STORE_ID": identity.policies.store_id,
                "FMOPS_JUDGE_MODEL_ID": self._settings.evaluation.judge_model_id,
                "FMOPS_EVALUATION_JOURNAL": f"s3://{bucket}/{JOURNAL}",
                **(self._knowledge.search_environment if self._knowledge else {}),
                "MLFLOW_TRACKING_URI": self._tracking.mlflow.arn,
            },
            instance_type=options.instance_type,
            volume_gib=options.volume_gib,
            max_runtime=Duration.hours(4),
            key=self._foundation.lake.key,
            alarm_topic=self._observability.prometheus.alert_topic,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _grant_evaluation(self, role: iam.Role, identity: Identity, assistant: Assistant) -> None:
        bucket, options = self._foundation.lake.bucket, self._settings.assistant
        reviewed, gaps = f"{Foundation.EVALUATION}/reviewed.jsonl", Foundation.GAP_CASES
        journal = f"{JOURNAL}/*"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[bucket.arn_for_objects(key) for key in (reviewed, gaps, journal)],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[bucket.arn_for_objects(journal)])
        )
        # Without it, looking for a missing table would be forbidden, and MLflow looks for a table before it
        # writes one.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={
                    "StringLike": {"s3:prefix": [reviewed, gaps, journal, f"{Foundation.MLFLOW_ARTIFACTS}/*"]}
                },
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ssm:GetParameter"], resources=[self._deployed_guardrails.parameter_arn]
            )
        )
        self._foundation.lake.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        grant_invoke(role, options.model_id, streamed=True)
        for model_id in (options.embedding_model_id, self._settings.evaluation.judge_model_id):
            grant_invoke(role, model_id)
        assistant.guardrails.grant_use(role)
        identity.policies.grant_rehearsal(role)
        self._tracking.mlflow.grant_use(role)
        self._tracking.mlflow.grant_write_artifacts(role)
        acknowledge_keys(
            role, "Each answer and verdict that was paid for has a key of its own.", bucket, journal
        )

    def _build_alarm(self) -> None:
        alarm = cloudwatch.Alarm(
            self,
            "ForgottenRecords",
            alarm_description=(
                "Records of people who asked to be forgotten arrived afterwards, from a spool or from "
                "Firehose: `make forget AGAIN=1` deletes them."
            ),
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name="ForgottenRecords",
                dimensions_map={"Environment": self._settings.environment_name},
                statistic="Maximum",
                period=Duration.days(1),
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        notify([alarm], self._observability.prometheus.alert_topic)

    def _grant(self) -> None:
        role, bucket = self.job.role, self._foundation.lake.bucket
        read = (f"{Foundation.INTERACTIONS}/*", "analysis/content/review/*", f"{Foundation.PRIVACY}/*")
        write = (f"{Foundation.REVIEW}/*", f"{Foundation.EVALUATION}/*")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"], resources=[bucket.arn_for_objects(keys) for keys in (*read, *write)]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:PutObject"], resources=[bucket.arn_for_objects(keys) for keys in write]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [*read, *write]}},
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
            )
        )
        if self._settings.review.judged:
            for model_id in self._settings.review.judges:
                grant_invoke(role, model_id)
        if self.team is not None:
            self.team.grant_create(role)
        role.add_to_policy(
            iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self._guardrails.parameter_arn])
        )
        self._foundation.lake.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        self._tracking.mlflow.grant_use(role)
        self._tracking.mlflow.grant_write_artifacts(role)
        reason = (
            "Days get new objects all the time: the job reads interactions and signals, and writes below "
            "its own prefixes."
        )
        acknowledge_keys(role, reason, bucket, *read, *write)
