"""The Assistant stack: the application. It changes with each release."""

import json
from pathlib import Path

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct
from constructs.acknowledge import acknowledge, acknowledge_keys
from constructs.agent_function import AgentFunction
from constructs.agent_service import AgentService
from constructs.approvals_table import ApprovalsTable
from constructs.bedrock_access import grant_invoke
from constructs.budgets_table import BudgetsTable
from constructs.data_lake import DataLake
from constructs.front_door import FrontDoor
from constructs.layered_guardrails import LayeredGuardrails
from constructs.otel_collector import grant_export
from constructs.own_domain import OwnDomain
from constructs.records_table import RecordsTable
from constructs.streaming_api import StreamingApi
from constructs.web_firewall import WebFirewall

from settings import Settings
from stacks import variables
from stacks.base import FmopsStack
from stacks.capture import Capture
from stacks.foundation import Foundation
from stacks.identity import Identity
from stacks.knowledge import Knowledge
from stacks.observability import Observability
from stacks.sidecar import CollectorSidecar
from stacks.tracking import Tracking

ROOT = Path(__file__).parents[1]


COMMAND = ("python", "-m", "fmops.assistant")
KEEP_ALIVE_MARGIN = 5
"""Seconds by which the assistant keeps an idle connection longer than the load balancer, which would otherwise
send into closed ones."""
TURNS_NAMESPACE = "FMOps/Assistant"
TURNS_TARGET = 0.6
"""Share of a task's maximum turns at which tasks are added, since they take minutes to start."""


class Assistant(FmopsStack):
    """The assistant, on ECS Fargate behind a load balancer or on Lambda behind an API, with the ADOT collector
    beside it."""

    HEALTH_PATH = "/healthz"
    READY_PATH = "/readyz"
    SPOOL_DIRECTORY = "/var/spool/fmops"

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        settings: Settings,
        foundation: Foundation,
        identity: Identity,
        observability: Observability,
        capture: Capture,
        tracking: Tracking,
        knowledge: Knowledge | None,
    ) -> None:
        super().__init__(scope, id, settings, description="FMOps: the assistant")
        self._settings, self._knowledge = settings, knowledge
        self._foundation, self._identity = foundation, identity
        self._observability, self._capture, self._tracking = observability, capture, tracking
        self.records = RecordsTable(self, "Records", key=foundation.lake.key, lifetime=self.lifetime)
        self.approvals = ApprovalsTable(self, "Approvals", key=foundation.lake.key, lifetime=self.lifetime)
        self.budgets = (
            BudgetsTable(self, "Budgets", key=foundation.lake.key, lifetime=self.lifetime)
            if settings.assistant.budgets.limited
            else None
        )
        self._sidecar = CollectorSidecar(self, settings, observability, tracking)
        self.guardrails = self._build_guardrails()
        self.pseudonym_key = self._build_pseudonym_key()
        build = self._build_on_ecs if settings.assistant.compute == "ecs" else self._build_on_lambda
        self.role = build()
        self._grant(self.role)
        CfnOutput(self, "RecordsTableName", value=self.records.table.table_name)
        CfnOutput(self, "PseudonymKeyArn", value=self.pseudonym_key.secret_arn)
        if settings.observability.mlflow_traces:
            experiment = settings.observability.mlflow_traces_experiment_id
            CfnOutput(self, "ContentTracesExperimentId", value=experiment)

    def _build_guardrails(self) -> LayeredGuardrails:
        options = self._settings.assistant
        return LayeredGuardrails(
            self,
            "Guardrails",
            name=self._service_name,
            schema=ROOT / "fmops" / "guardrails" / "settings.schema.json",
            settings=options.guardrails,
            path=f"fmops.{self._settings.profile}.assistant.guardrails",
            tier=options.bedrock_guardrail.tier,
            cross_region_profile=options.bedrock_guardrail.cross_region_profile,
            denied_words=options.bedrock_guardrail.denied_words,
            denied_topics=options.bedrock_guardrail.denied_topics,
            alarm_topic=self._observability.prometheus.alert_topic,
        )

    def _build_pseudonym_key(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "PseudonymKey",
            description="HMAC key that makes pseudonyms of user ids",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
            removal_policy=self.lifetime.removal_policy,
        )
        acknowledge(
            secret,
            "With another key a user would get another pseudonym, and records before and after could not be joined.",
            "AwsSolutions-SMG4",
        )
        return secret

    def _build_on_ecs(self) -> iam.Role:
        app = self._build_service()
        self._sidecar.build(app)
        self._build_front_door(app)
        CfnOutput(self, "ClusterName", value=app.cluster.cluster_name)
        CfnOutput(self, "ServiceName", value=app.service.service_name)
        return app.task_role

    def _build_on_lambda(self) -> iam.Role:
        options, network = self._settings.assistant, self._foundation.network
        timeout = Duration.seconds(options.timeout_seconds)
        app = AgentFunction(
            self,
            "App",
            image=ROOT,
            dockerfile="images/assistant.Dockerfile",
            build_args=self._build_args(),
            built_by=self._settings.images,
            command=COMMAND,
            architecture=options.architecture,
            memory_mib=options.memory_mib,
            timeout=timeout,
            concurrency=options.concurrency,
            port=options.port,
            ready_path=self.READY_PATH,
            environment={**self._environment(), **self._sandbox_environment()},
            vpc=network.vpc if network else None,
            alarm_topic=self._observability.prometheus.alert_topic,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )
        grant_export(app.role, self._sidecar.trace_actions, self._observability.prometheus.arn)
        api = StreamingApi(
            self,
            "Api",
            name=self._service_name,
            function=app.function,
            timeout=timeout,
            ingress_cidrs=options.ingress_cidrs,
            domain=self._build_domain(),
            firewalled=options.firewall is not None,
        )
        self._build_firewall(api.stage_arn)
        CfnOutput(self, "AssistantUrl", value=api.url)
        CfnOutput(self, "FunctionName", value=app.function.function_name)
        return app.role

    def _build_domain(self) -> OwnDomain | None:
        options = self._settings.assistant
        if options.domain is None:
            return None
        return OwnDomain(
            self,
            "Domain",
            name=options.domain.name,
            hosted_zone_id=options.domain.hosted_zone_id,
            hosted_zone_name=options.domain.hosted_zone_name,
            certificate_arn=options.certificate_arn,
        )

    def _certificate(self) -> acm.ICertificate | None:
        """Return the listener's certificate, if there is no domain that has it."""
        options = self._settings.assistant
        if options.certificate_arn is None or options.domain is not None:
            return None
        return acm.Certificate.from_certificate_arn(self, "Certificate", options.certificate_arn)

    def _build_firewall(self, protected_arn: str) -> None:
        firewall = self._settings.assistant.firewall
        if firewall is None:
            return
        WebFirewall(
            self,
            "Firewall",
            name=self._service_name,
            protected_arn=protected_arn,
            requests_per_five_minutes=firewall.requests_per_five_minutes,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    def _build_service(self) -> AgentService:
        options, network = self._settings.assistant, self._foundation.network
        assert network is not None  # noqa: S101 - the settings say so
        return AgentService(
            self,
            "App",
            name=self._service_name,
            vpc=network.vpc,
            image=ROOT,
            dockerfile="images/assistant.Dockerfile",
            build_args=self._build_args(),
            built_by=self._settings.images,
            command=COMMAND,
            architecture=options.architecture,
            cpu=options.cpu,
            memory_mib=options.memory_mib,
            port=options.port,
            health_path=self.HEALTH_PATH,
            environment={**self._environment(), **self._balanced_environment()},
            secrets={},
            volumes={"spool": self.SPOOL_DIRECTORY, "tmp": "/tmp"},  # noqa: S108 - a volume of the task
            min_tasks=options.min_tasks,
            max_tasks=options.max_tasks,
            container_insights=self._settings.observability.container_insights,
            lifetime=self.lifetime,
            log_retention=self.log_retention,
        )

    @property
    def _service_name(self) -> str:
        return f"{self._settings.environment_name}-assistant"

    def _environment(self) -> dict[str, str]:
        return {
            "AWS_REGION": self.region,
            **variables.of_the_assistant(self._settings),
            **self._identity.token_environment,
            "FMOPS_POLICY_STORE_ID": self._identity.policies.store_id,
            **self._document_environment(),
            "FMOPS_DELIVERY_STREAM": self._capture.stream.name,
            **({"FMOPS_RAW_DELIVERY_STREAM": raw.name} if (raw := self._capture.raw_stream) else {}),
            "FMOPS_RECORDS_TABLE": self.records.table.table_name,
            "FMOPS_APPROVALS_TABLE": self.approvals.table.table_name,
            **({"FMOPS_BUDGETS_TABLE": self.budgets.table.table_name} if self.budgets else {}),
            "FMOPS_HOME": json.dumps(self._home(), separators=(",", ":")),
            "FMOPS_PSEUDONYM_KEY_SECRET": self.pseudonym_key.secret_arn,
            "FMOPS_GUARDRAILS": self.guardrails.settings_json,
            "MLFLOW_TRACKING_URI": self._tracking.mlflow.arn,
            "FMOPS_SPOOL_DIRECTORY": self.SPOOL_DIRECTORY,
            "OTEL_SERVICE_NAME": self._service_name,
        }

    def _document_environment(self) -> dict[str, str]:
        if self._knowledge is None:
            return {}
        return {
            **self._knowledge.search_environment,
            "FMOPS_DOCUMENTS_BUCKET": self._knowledge.bucket.bucket_name,
            "FMOPS_LAKE_BUCKET": self._foundation.lake.bucket.bucket_name,
        }

    def _home(self) -> dict[str, str | bool]:
        """Return the names of what the home page shows."""
        table = self._capture.table
        places: dict[str, str | bool | None] = {
            "lake": self._foundation.lake.bucket.bucket_name,
            "prometheus": self._observability.prometheus.endpoint,
            "grafana": self._settings.observability.grafana,
            "table": f"{table.database_name}.{table.table_name}",
        }
        return {name: place for name, place in places.items() if place}

    def _balanced_environment(self) -> dict[str, str]:
        """Return the variables that differ behind the load balancer, which reuses connections up to its idle
        time-out."""
        seconds = FrontDoor.IDLE_TIMEOUT.to_seconds() + KEEP_ALIVE_MARGIN
        options = self._settings.assistant
        scales = options.max_tasks > options.min_tasks
        return {
            "FMOPS_KEEP_ALIVE_SECONDS": str(int(seconds)),
            **({"FMOPS_TURNS_NAMESPACE": TURNS_NAMESPACE} if scales else {}),
        }

    def _sandbox_environment(self) -> dict[str, str]:
        """Return the variables that differ where the process is frozen between requests and the collector is in
        the same image."""
        options = self._settings.assistant
        return {
            "FMOPS_FLUSH_EACH_REQUEST": "true",
            "FMOPS_SPOOL_DIRECTORY": "/tmp/spool",  # noqa: S108 - what a sandbox may write to
            "FMOPS_COLLECTOR_OPTIONS": ",".join(self._sidecar.options()),
            "OTLP_HTTP_ENDPOINT": f"localhost:{options.collector_port}",
            "HEALTH_CHECK_ENDPOINT": f"localhost:{options.collector_health_port}",
            **self._sidecar.environment(),
        }

    def _turns_under_way(self) -> cloudwatch.Metric:
        """Return the average turns in progress of a task. A task that waits for a slow model is full while its
        CPU is idle."""
        return cloudwatch.Metric(
            namespace=TURNS_NAMESPACE,
            metric_name="TurnsUnderWay",
            dimensions_map={"Service": self._service_name},
            statistic="Average",
            period=Duration.minutes(1),
        )

    def _build_args(self) -> dict[str, str]:
        return {"COLLECTOR_IMAGE": self._settings.observability.collector_image}

    def _grant(self, role: iam.Role) -> None:
        """Grant the permissions that the assistant needs wherever it runs."""
        options = self._settings.assistant
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["secretsmanager:GetSecretValue"], resources=[self.pseudonym_key.secret_arn]
            )
        )
        grant_invoke(role, options.model_id, streamed=True)
        grant_invoke(role, options.embedding_model_id)
        self.guardrails.grant_use(role)
        self._identity.policies.grant_decisions(role)
        self._identity.policies.grant_rehearsal(role)
        for model_id in options.playground_models:
            grant_invoke(role, model_id, streamed=True)
        self._capture.stream.grant_put(role)
        if self._capture.raw_stream is not None:
            self._capture.raw_stream.grant_put(role)
        self._tracking.mlflow.grant_use(role)
        self._tracking.mlflow.grant_read_artifacts(role)
        self._tracking.mlflow.grant_open(role)
        self._observability.prometheus.grant_read_alerts(role)
        self._grant_last_report(role)
        self.records.grant_use(role)
        self.approvals.grant_use(role)
        if self.budgets is not None:
            self.budgets.grant_use(role)
        if self._knowledge is not None:
            self._knowledge.base.grant_retrieve(role)
            self._knowledge.grant_publish_drafts(role)
            self._grant_drafts(role)
        # Reading traces has no resources in IAM either (service authorization reference of X-Ray).
        role.add_to_policy(iam.PolicyStatement(actions=list(self._sidecar.read_actions), resources=["*"]))

    def _grant_last_report(self, role: iam.Role) -> None:
        """Allow a role to read the analysis's last report with its plot and its outcome, and no other."""
        bucket = self._foundation.lake.bucket
        keys = [f"{Foundation.ANALYSIS_CONTENT}/reports/latest.{kind}" for kind in ("html", "json", "svg")]
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"], resources=[bucket.arn_for_objects(key) for key in keys]
            )
        )

    def _grant_drafts(self, role: iam.Role) -> None:
        """Allow a role to read what a draft is made from, and to keep drafts and the cases of their questions."""
        lake = self._foundation.lake
        kept = [Foundation.DRAFTS + "/*", Foundation.GAP_CASES]
        read = [f"{Foundation.ANALYSIS_CONTENT}/results/*", f"{Foundation.EVALUATION}/reviewed.jsonl", *kept]
        for action, keys in (("s3:GetObject", read), ("s3:PutObject", kept)):
            objects = [lake.bucket.arn_for_objects(key) for key in keys]
            role.add_to_policy(iam.PolicyStatement(actions=[action], resources=objects))
        # Without it, what is not there yet would be forbidden.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[lake.bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": read}},
            )
        )
        lake.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        reason = "Each window of the analysis has a result of its own, and each draft an object of its own."
        acknowledge_keys(role, reason, lake.bucket, *(key for key in read if key.endswith("*")))

    def _build_front_door(self, app: AgentService) -> None:
        options, network = self._settings.assistant, self._foundation.network
        assert network is not None  # noqa: S101 - the settings say so
        front_door = FrontDoor(
            self,
            "FrontDoor",
            vpc=network.vpc,
            ingress_cidrs=options.ingress_cidrs,
            certificate=self._certificate(),
            domain=self._build_domain(),
            service=app.service,
            container_port=options.port,
            health_path=self.HEALTH_PATH,
            log_bucket=self._foundation.lake.log_bucket,
            log_prefix=DataLake.ALB_LOGS_PREFIX,
            deletion_protection=self.lifetime.protected,
        )
        app.scale_on_requests(front_door.target_group)
        app.scale_on(self._turns_under_way(), target=TURNS_TARGET * options.turns_per_task)
        self._build_firewall(front_door.load_balancer.load_balancer_arn)
        CfnOutput(self, "AssistantUrl", value=front_door.url)
