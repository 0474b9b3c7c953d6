"""Deployment settings: one profile per environment, from the context key `fmops` of cdk.json.

A profile says only what differs from the defaults below. A bad value is refused before any construct is made.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

CDK_JSON = Path(__file__).with_name("cdk.json")

Port = Annotated[int, Field(ge=1024, le=65535)]
Pattern = StringConstraints
SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
ModelId = Annotated[str, Pattern(pattern=r"^[a-z0-9.-]+(:\d+)?$")]
"""A model of Bedrock, or an inference profile."""
InstanceType = Annotated[str, Pattern(pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")]
"""A machine of SageMaker Processing."""

# Of the periods that CloudWatch Logs knows, in days.
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 90, 180, 365, 731, 1827, 3653]

# The CPU units of Fargate and the memory (MiB) that each can have.
FARGATE_SIZES = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}


# RFC 1918, and RFC 6598, which AWS also takes for VPCs. `IPv4Network.is_private` looks at a range's two ends alone.
PRIVATE_RANGES = tuple(
    IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)

JOB_VARIABLE = 256
"""Characters of an environment variable's value (CreateProcessingJob)."""


class SettingsError(ValueError):
    """A setting is not usable; the message is one sentence for the person who wrote it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExistingVpc(_Section):
    """A VPC that is there already. Nothing is looked up: what the templates need to know of it is said here."""

    id: Annotated[str, Pattern(pattern=r"^vpc-[0-9a-f]{8,17}$")]
    """As EC2 names it."""
    cidr: str
    """Its IPv4 range, from which an internal load balancer is reached."""
    zones: tuple[Annotated[str, Pattern(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")], ...]
    """In the order of the subnets."""
    public_subnets: tuple[SubnetId, ...] = ()
    """Whose route table leads to an internet gateway; only needed with egress `public`."""
    private_subnets: tuple[SubnetId, ...] = ()
    """For tasks and endpoints; only needed with egress `nat` or `endpoints`."""
    private_route_tables: tuple[Annotated[str, Pattern(pattern=r"^rtb-[0-9a-f]{8,17}$")], ...] = ()
    """Of the private subnets, in their order; only needed with egress `endpoints`."""

    @model_validator(mode="after")
    def _check(self) -> ExistingVpc:
        try:
            IPv4Network(self.cidr)
        except ValueError as error:
            raise ValueError(
                f"cidr is '{self.cidr}', but must be an IPv4 range such as 10.0.0.0/16 ({error})"
            ) from None
        if len(set(self.zones)) < 2:
            raise ValueError(
                f"zones are {len(set(self.zones))}, but must be at least 2: load balancers and tasks survive the loss of one"
            )
        for name in ("public_subnets", "private_subnets", "private_route_tables"):
            given = len(getattr(self, name))
            if given not in (0, len(self.zones)):
                raise ValueError(
                    f"{name} are {given}, but zones are {len(self.zones)}: name one for each zone, in its order"
                )
        return self


class Network(_Section):
    """The VPC that the assistant runs in."""

    mode: Literal["new", "import", "none"] = "new"
    """`import`: in the VPC that `vpc` describes. `none`: there is no VPC, which only `assistant.compute` lambda can do without."""
    egress: Literal["public", "nat", "endpoints"] = "public"
    """How AWS services are reached. `public`: tasks have public addresses and no NAT gateway is paid for. `nat`: from private subnets, whose way out
    is made, or is there in a VPC of yours. `endpoints`: from private subnets without a way to the internet, by an endpoint for each service, each paid
    by the hour in each zone (docs/deploy.md)."""
    zones: Annotated[int, Field(ge=2, le=3)] = 2
    """Of a new VPC."""
    vpc: ExistingVpc | None = None
    """With mode `import`: what is there."""

    @model_validator(mode="after")
    def _check(self) -> Network:
        if (self.mode == "import") != (self.vpc is not None):
            raise ValueError(
                "mode import and vpc go together: set both, or neither"
                f" (mode is {self.mode}, vpc is {'set' if self.vpc else 'not set'})"
            )
        if self.vpc is not None:
            needed = {
                "public": ("public_subnets",),
                "nat": ("private_subnets",),
                "endpoints": ("private_subnets", "private_route_tables"),
            }
            for name in needed[self.egress]:
                if not getattr(self.vpc, name):
                    raise ValueError(
                        f"vpc.{name} is empty, but egress {self.egress} needs one for each of the {len(self.vpc.zones)} zones"
                    )
        return self


class Oidc(_Section):
    """An OpenID Connect issuer of yours, whose users sign in elsewhere."""

    issuer: Annotated[str, Pattern(pattern=r"^https://[^\s?#/@]+(/[^\s?#]*)?$")]
    """To the letter as `issuer` stands in its discovery document, `<issuer>/.well-known/openid-configuration`: with the slash at its end
    if it has one there, as Auth0's and Entra ID's (v1) have."""
    audience: Annotated[str, Pattern(pattern=r"^\S+$")]
    """The client id that the ID tokens are issued to."""
    group_claim: Annotated[str, Pattern(pattern=r"^\S+$")] = "groups"
    """The claim that lists a user's groups, by the names that `policies/` have."""


class Identity(_Section):
    """Who may sign in, and how."""

    oidc: Oidc | None = None
    """Instead of a Cognito user pool, which is made when this is not set; the two settings below are that pool's."""
    mfa: Literal["optional", "required"] = "required"
    """Whether users of the Cognito pool may or must have a TOTP authenticator."""
    admin_password_sign_in: bool = False
    """Allows `ADMIN_USER_PASSWORD_AUTH`, which the demo's tour signs in with."""

    @model_validator(mode="after")
    def _check(self) -> Identity:
        if self.oidc and self.admin_password_sign_in:
            raise ValueError(
                "admin_password_sign_in is true, but with oidc there is no user pool to sign in to: leave one of them out"
            )
        return self


class Tracking(_Section):
    """MLflow on SageMaker. Another kind than before is another MLflow: what the old one knew stays behind."""

    kind: Literal["app", "server"] = "app"
    """`app`: serverless, without cost while idle. `server`: a tracking server, billed by the hour, whose API has an IAM action
    per operation, and whose version you choose."""
    server_size: Literal["Small", "Medium", "Large"] = "Small"
    """Of the tracking server: for up to 25, 50 or 100 people."""
    server_version: Annotated[str, Pattern(pattern=r"^\d+\.\d+(\.\d+)?$")] = "3.10"
    """MLflow's, of the tracking server: the clients in `requirements/` are pinned to the same."""
    maintenance_window: Annotated[
        str, Pattern(pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun):[0-2]\d:[0-5]\d$")
    ] = "Tue:03:30"
    """Of a tracking server, in UTC: day and hour at which SageMaker may update it."""

    @model_validator(mode="after")
    def _check(self) -> Tracking:
        if self.kind == "app" and (
            given := sorted(self.model_fields_set & {"server_size", "server_version"})
        ):
            raise ValueError(f"{given[0]} has no use with kind 'app': set kind to 'server', or leave it out")
        return self


class Observability(_Section):
    """Metrics, alerts and dashboards."""

    grafana: bool = False
    """An Amazon Managed Grafana workspace: needs IAM Identity Center, and each editor is billed."""
    metric_interval_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """How often each task sends its metrics: Managed Prometheus bills by the sample."""
    metric_retention_days: Annotated[int, Field(ge=1, le=1095)] = 150
    """Of Managed Prometheus."""
    container_insights: Literal["off", "enabled", "enhanced"] = "off"
    """CloudWatch's metrics of the cluster and its service, of the tasks and containers too when `enhanced`; billed by the metric. The application's
    own metrics go to Managed Prometheus without it."""
    collector_image: Annotated[str, Pattern(pattern=r"^[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?$")] = (
        "public.ecr.aws/aws-observability/aws-otel-collector:v0.49.0"
    )
    """Of the ADOT collector. Append `@sha256:...`, as your registry shows it, so that the tag cannot come to mean something else."""
    transaction_search: Literal["off", "use", "enable"] = "off"
    """`use`: traces go to X-Ray's OTLP endpoint, and CloudWatch keeps every span, which needs Transaction Search to be on in
    the account and region. `enable` also turns it on, by a stack of its own: for one environment of an account where it is off."""
    span_index_percent: Annotated[float, Field(ge=0, le=100)] = 1
    """With `enable`: the spans that X-Ray also indexes as trace summaries; 1 % costs nothing."""
    mlflow_traces: bool = False
    """Also sends traces with prompts, answers and tool results to MLflow: personal data. X-Ray never gets them."""
    mlflow_traces_experiment_id: Annotated[str, Pattern(pattern=r"^\d{1,19}$")] = "0"
    """Of an MLflow experiment that exists; 0 is the one named Default."""
    alert_email: Annotated[str, Pattern(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Subscribed to the alerts' SNS topic, after its owner has confirmed; nobody is told when it is not set."""


class Capture(_Section):
    """Interaction records on their way to the data lake."""

    buffer_seconds: Annotated[int, Field(ge=0, le=900)] = 60
    """For which Firehose collects before it writes an object."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Interactions hold redacted conversations: they expire after this many days."""
    raw_text: bool = False
    """Also keeps what was typed and answered before redaction, in the lake under `interactions-raw/`: personal data."""
    raw_retention_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Of text before redaction, where `raw_text` keeps it."""


class BedrockGuardrail(_Section):
    """The guardrail in Bedrock, which is made when `assistant.guardrails` has a detector of kind `bedrock_guardrail`."""

    tier: Literal["CLASSIC", "STANDARD"] = "CLASSIC"
    """`STANDARD` knows more languages and prompt leakage, and needs a `cross_region_profile`."""
    cross_region_profile: Annotated[str, Pattern(pattern=r"^[a-z-]+\.guardrail\.v\d+:\d+$")] | None = None
    """Lets Bedrock check text in other regions of a geography: `us.guardrail.v1:0`, `eu.`, `apac.` ..."""
    denied_words: tuple[str, ...] = ()
    """Words and phrases that are blocked as they stand."""
    denied_topics: dict[str, str] = {}
    """Definition of each topic by its name."""


class Domain(_Section):
    """A name of yours for the assistant, in a hosted zone of Route 53 in the same account."""

    name: Annotated[str, Pattern(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    """Under which the assistant is reached."""
    hosted_zone_id: Annotated[str, Pattern(pattern=r"^Z[A-Z0-9]+$")]
    """Of the public zone in Route 53 that the name is put into."""
    hosted_zone_name: Annotated[str, Pattern(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    """The zone's domain, which the name ends with."""

    @model_validator(mode="after")
    def _check(self) -> Domain:
        if not f".{self.name}".endswith(f".{self.hosted_zone_name}"):
            raise ValueError(
                f"name is {self.name}, but must end with the hosted zone's {self.hosted_zone_name}"
            )
        return self


class Firewall(_Section):
    """AWS WAF in front of the assistant: AWS's managed rules, and a limit for each address."""

    requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)] = 1000
    """From one address; the requests above it are answered 429 until its rate has fallen."""


class Limits(_Section):
    """Limits of what may be spent in a window of time, which begins in UTC. One that is not set does not bind."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Questions, whatever number of model calls each takes."""
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Tokens of all model calls, in and out. A call that runs counts with the most it may take: input and `max_output_tokens`."""
    tokens_per_day: Annotated[int, Field(ge=1)] | None = None
    """Tokens of all model calls from midnight."""
    tokens_per_month: Annotated[int, Field(ge=1)] | None = None
    """Tokens of all model calls from the first of the month."""
    usd_per_day: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """List price of the tokens (`fmops/telemetry/prices.toml`), from midnight."""
    usd_per_month: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """List price of the tokens, from the first of the month."""


class Budgets(_Section):
    """Budgets of users, teams and the whole deployment for model calls (docs/budgets.md)."""

    user: Limits = Limits(usd_per_day=20)
    """Limits of each user."""
    team: Limits = Limits()
    """Limits of each team that `teams` does not name. Somebody in several teams spends from the budget of each."""
    teams: dict[str, Limits] = {}
    """Limits of single teams, by name."""
    deployment: Limits = Limits(usd_per_month=1000)
    """Limits of all together."""
    team_claim: Annotated[str, Pattern(pattern=r"^\S*$")] = ""
    """The claim of the ID token that names a user's team, or a list of them; when empty, the groups are the teams."""
    when_unavailable: Literal["refuse", "allow"] = "refuse"
    """While the counters do not answer: `refuse` answers 503; `allow` answers, and counts later what it can."""

    @property
    def limited(self) -> bool:
        """Return whether any limit is set."""
        return any(each != Limits() for each in (self.user, self.team, self.deployment, *self.teams.values()))


class Assistant(_Section):
    """The application, on ECS Fargate behind a load balancer or on Lambda behind an API (docs/deploy.md says when which)."""

    compute: Literal["ecs", "lambda"] = "ecs"
    """`lambda`: the same image, paid by the request, and nothing while idle. A cold start takes seconds."""
    model_id: ModelId = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    """A Bedrock model id, or the id of a cross-region inference profile (`us.`, `eu.`, `apac.`, `global.` ...)."""
    max_output_tokens: Annotated[int, Field(ge=1, le=200_000)] = 4096
    """What one call of the model may write at most; a client's `max_tokens` below it is honoured. An answer that is cut there ends with
    `finish_reason: length`. More than the model allows is refused by Bedrock at each call."""
    embedding_model_id: ModelId = "amazon.titan-embed-text-v2:0"
    """Of the knowledge base's search and of the captured questions; another one makes windows of the analysis incomparable."""
    architecture: Literal["arm64", "x86_64"] = "arm64"
    """Of the image and of the task, so that they cannot differ."""
    cpu: Literal[256, 512, 1024, 2048, 4096] = 512
    """Of a task on ECS; on Lambda it follows `memory_mib`, one whole CPU at 1769."""
    memory_mib: int = 1024
    """Of the task or the function."""
    min_tasks: Annotated[int, Field(ge=1, le=100)] = 1
    """Tasks that ECS keeps running; above it, autoscaling follows turns under way, requests and CPU."""
    max_tasks: Annotated[int, Field(ge=1, le=100)] = 1
    """The service on ECS scales on turns under way, requests and CPU when this is above `min_tasks`."""
    turns_per_task: Annotated[int, Field(ge=1, le=1000)] = 48
    """Turns under way at once in one task, above which new ones are refused with 503; with autoscaling, tasks are added from 60 % of it on."""
    turns_per_user: Annotated[int, Field(ge=1, le=1000)] = 6
    """Turns of one user under way at once in one task, above which new ones are refused with 429."""
    turn_seconds: Annotated[int, Field(ge=10, le=870)] = 90
    """Seconds for all calls of a turn, which then ends with 504. On ECS at most 110, since the load balancer waits 120."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Requests at once on Lambda, reserved from the account's quota and the most that will run; no limit but the quota by default."""
    timeout_seconds: Annotated[int, Field(ge=30, le=900)] = 300
    """Of one request on Lambda."""
    port: Port = 8080
    """Of the assistant in its container."""
    max_body_kib: Annotated[int, Field(ge=64, le=10_240)] = 1024
    """Of one request's body; a larger one is refused with 413 before it is read."""
    issuer_keys_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """For how long the issuer's known keys serve while it cannot be reached; after that requests are refused with 503."""
    collector_port: Port = 4318
    """Of the collector, for OTLP over HTTP."""
    collector_health_port: Port = 13133
    """Of the collector's health check."""
    collector_content_port: Port = 4319
    """Where the collector takes traces with content, with `observability.mlflow_traces`."""
    certificate_arn: (
        Annotated[str, Pattern(pattern=r"^arn:[\w-]+:acm:[\w-]+:\d{12}:certificate/[\w-]+$")] | None
    ) = None
    """Of the load balancer's listener, or of the API's `domain`. Without one, a `domain` gets its own."""
    domain: Domain | None = None
    """A certificate is made for it, unless `certificate_arn` is one, and an alias record."""
    firewall: Firewall | None = None
    """Billed by the month, about 9 USD; none by default."""
    ingress_cidrs: tuple[str, ...] = ()
    """IPv4 ranges that may reach the load balancer, which is internal to the VPC when there are none; or the API of Lambda, which needs some."""
    guardrails: dict[str, JsonValue] = {}
    """Settings of `fmops.guardrails` (docs/guardrails.md); the library's defaults when empty. Checked by their schema."""
    bedrock_guardrail: BedrockGuardrail = BedrockGuardrail()
    authorization: Literal["ENFORCE", "LOG_ONLY"] = "ENFORCE"
    """`LOG_ONLY` decides and records every tool call and stops none: for trying policies, never for untrusted users."""
    budgets: Budgets = Budgets()
    """Limits of spending. Without any there is no table of counters."""
    playground_models: tuple[ModelId, ...] = ()
    """Models that prompt engineers may try in the playground beside `model_id`; the task's role may call them."""
    prompt_refresh_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How often each task looks which prompt version has the alias `production`: a promotion takes this long to serve."""
    instrumentor: Literal["openllmetry", "otel"] = "openllmetry"
    """Which package traces LangChain: Traceloop's, or OpenTelemetry's own, which is beta and makes fewer spans."""

    @model_validator(mode="after")
    def _check(self) -> Assistant:
        if self.compute == "ecs":
            self._check_tasks()
        else:
            self._check_function()
        ports = {self.port, self.collector_port, self.collector_health_port, self.collector_content_port}
        if len(ports) < 4:
            raise ValueError(
                "port, collector_port, collector_health_port and collector_content_port must differ, since the containers share one network"
            )
        for cidr in self.ingress_cidrs:
            try:
                network = IPv4Network(cidr)
            except ValueError as error:
                raise ValueError(
                    f"ingress_cidrs has '{cidr}', but allowed are IPv4 ranges such as 203.0.113.7/32 ({error})"
                ) from None
            tls = self.compute == "lambda" or self.certificate_arn or self.domain
            if not tls and not any(network.subnet_of(private) for private in PRIVATE_RANGES):
                raise ValueError(
                    f"ingress_cidrs has {cidr}, which is not within a private range, so certificate_arn or domain must be"
                    " set: tokens would cross the internet unencrypted"
                )
        return self

    def _check_tasks(self) -> None:
        if self.memory_mib not in FARGATE_SIZES[self.cpu]:
            allowed = ", ".join(str(size) for size in FARGATE_SIZES[self.cpu])
            raise ValueError(
                f"memory_mib is {self.memory_mib}, but with cpu {self.cpu} Fargate allows {allowed}"
            )
        if self.max_tasks < self.min_tasks:
            raise ValueError(
                f"max_tasks is {self.max_tasks}, but must be at least min_tasks ({self.min_tasks})"
            )
        if self.turn_seconds > 110:
            raise ValueError(
                f"turn_seconds is {self.turn_seconds}, but with compute ecs it is 110 at most: the load balancer waits for 120 seconds"
            )
        if self.concurrency is not None:
            raise ValueError(
                "concurrency is of compute lambda, but compute is ecs: set min_tasks and max_tasks instead"
            )

    def _check_function(self) -> None:
        if not 512 <= self.memory_mib <= 10240:
            raise ValueError(f"memory_mib is {self.memory_mib}, but with compute lambda it is 512 to 10240")
        if self.turn_seconds > self.timeout_seconds - 10:
            raise ValueError(
                f"turn_seconds is {self.turn_seconds}, but must be at least 10 less than timeout_seconds ({self.timeout_seconds}),"
                " so that a turn ends before its function is stopped"
            )
        if (self.min_tasks, self.max_tasks) != (1, 1):
            raise ValueError(
                "min_tasks and max_tasks are of compute ecs, but compute is lambda: set concurrency instead"
            )
        if self.certificate_arn and not self.domain:
            raise ValueError(
                "certificate_arn is set, but with compute lambda a certificate needs a domain: the API's own address has TLS already"
            )
        if not self.ingress_cidrs:
            raise ValueError(
                "ingress_cidrs is empty, but with compute lambda the API is on the internet: name who may reach it, such as"
                " 203.0.113.7/32, or 0.0.0.0/0 for everyone, who then still needs a token"
            )


class Review(_Section):
    """Human review of answers."""

    backend: Literal["mlflow", "ground_truth"] = "mlflow"
    """Where people review. `ground_truth`: SageMaker Ground Truth, which is closed to new customers since 2026-07-30."""

    budget: Annotated[int, Field(ge=14, le=10_000)] = 40
    """Interactions that people look at per day; at least two of each of the seven strata."""
    random_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Of the budget, chosen from the interactions that nothing speaks for."""
    reviewers: Annotated[int, Field(ge=1, le=9)] = 2
    """People who label each interaction."""
    judges: tuple[ModelId, ...] = (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.amazon.nova-pro-v1:0",
    )
    """Models that judge captured answers: where they are unsure or differ, people look. Of different makers, so that they can."""
    judged: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Answers of a day that the judges look at, drawn at random; each costs two or three calls of each judge. 0: none."""
    days: Annotated[int, Field(ge=1, le=365)] = 30
    """How old tasks may be to be reviewed, collected and estimated from."""
    schedule: Annotated[str, Pattern(pattern=r"^(rate|cron)\(.+\)$")] | None = "cron(0 3 * * ? *)"
    """When a day's tasks are chosen (EventBridge Scheduler, UTC)."""
    instance_type: InstanceType = "ml.m5.large"
    """Of SageMaker Processing, for the review and evaluation jobs."""
    volume_gib: Annotated[int, Field(ge=10, le=1024)] = 30
    """Of the job's disk."""

    @model_validator(mode="after")
    def _check(self) -> Review:
        if len(set(self.judges)) != len(self.judges):
            raise ValueError("judges names a model twice, which cannot disagree with itself: name another")
        if self.judged and len(self.judges) < 2:
            raise ValueError(
                f"judged is {self.judged}, but judges has {len(self.judges)} of the two models that can differ: name another, or set judged to 0"
            )
        if len(json.dumps(self.judges)) > JOB_VARIABLE:
            raise ValueError(
                f"judges is longer than the {JOB_VARIABLE} characters that a variable of a job can have: name fewer models"
            )
        return self


class Analysis(_Section):
    """The embedding analysis (docs/analysis.md)."""

    schedule: Annotated[str, Pattern(pattern=r"^(rate|cron)\(.+\)$")] | None = "cron(20 1 * * ? *)"
    """When EventBridge Scheduler starts the job, in UTC. Each run analyses the window that had ended."""
    window_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """Of interactions that are looked at together: whole days, or a part of one that divides it."""
    baseline_windows: Annotated[int, Field(ge=1, le=366)] = 14
    """The first baseline is fitted when so many windows in a row have interactions. From 14 on, days are compared with how
    days usually differ."""
    alarm_windows: Annotated[int, Field(ge=10, le=100_000)] = 500
    """Without drift, an alarm comes once in so many windows."""
    description_model_id: ModelId | None = None
    """Says in two sentences what changed when there is an alarm; it reads redacted questions. None by default."""
    instance_type: InstanceType = "ml.m5.large"
    """Of SageMaker Processing; the embedded engine uses all of its cores."""
    volume_gib: Annotated[int, Field(ge=5, le=16384)] = 30
    """Of the job's disk, which holds what it reads of the lake."""
    max_hours: Annotated[int, Field(ge=1, le=24)] = 4
    """After which a job is stopped."""
    engine: Literal["embedded", "spark", "auto"] = "embedded"
    """What reads a window: the job itself on all its cores, Spark on EMR Serverless, or Spark for large windows (`auto`)."""
    spark_from_gib: Annotated[int, Field(ge=1, le=100_000)] = 50
    """With `auto`, a window goes to Spark from so many GiB of objects on; the job decides for each window."""
    spark_max_vcpus: Annotated[int, Field(ge=8, le=4000)] = 64
    """Of EMR Serverless, while a Spark job runs: a driver and executors of four each."""

    @model_validator(mode="after")
    def _check(self) -> Analysis:
        if "spark_from_gib" in self.model_fields_set and self.engine != "auto":
            raise ValueError(
                f"spark_from_gib decides nothing with engine {self.engine!r}: set engine to 'auto', or leave spark_from_gib out"
            )
        if "spark_max_vcpus" in self.model_fields_set and self.engine == "embedded":
            raise ValueError(
                "spark_max_vcpus has no use with engine 'embedded': set engine to 'auto' or 'spark', or leave it out"
            )
        if self.window_hours % 24 and 24 % self.window_hours:
            raise ValueError(
                f"window_hours is {self.window_hours}, but must divide 24 or be a multiple of it"
            )
        return self


class Evaluation(_Section):
    """What judges the assistant's answers."""

    judge_model_id: ModelId = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Of Bedrock's evaluation jobs. Another model than the assistant's, and a larger one: a model is lenient with itself."""


RepositoryName = Annotated[str, Pattern(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$")]
"""`OWNER/NAME` on GitHub."""


class GitHubRepository(_Section):
    """A repository whose GitHub Actions deploy this environment (`.github/workflows/deploy.yml`)."""

    name: RepositoryName
    """`OWNER/NAME`."""
    environment: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """Of the repository, whose jobs may deploy; the profile's name when not set."""
    provider_arn: (
        Annotated[
            str,
            Pattern(pattern=r"^arn:aws:iam::\d{12}:oidc-provider/token\.actions\.githubusercontent\.com$"),
        ]
        | None
    ) = None
    """GitHub's OIDC provider when the account has it already, such as from another environment: there can be only one."""


class Pipeline(_Section):
    """A CDK pipeline in the account, which deploys this environment, and then another, at each push."""

    repository: RepositoryName
    """`OWNER/NAME`."""
    branch: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9._/-]{1,255}$")] = "main"
    """Whose pushes are deployed."""
    connection_arn: Annotated[
        str,
        Pattern(
            pattern=r"^arn:aws:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[0-9a-f-]{36}$"
        ),
    ]
    """Of a CodeConnections connection to the repository, made and authorized in the console."""
    smoke: bool = True
    """Whether the smoke test must pass before the next environment. It runs on machines of CodeBuild's, outside of every VPC of yours."""
    then: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{0,9}$")] | None = "prod"
    """The profile that is deployed after somebody has approved; none: only this one is deployed."""


class Delivery(_Section):
    """How releases come into the account, beside `make deploy` (docs/delivery.md)."""

    github: GitHubRepository | None = None
    """Makes roles that the repository's workflows assume by OIDC: one that deploys, and one that only looks, for pull requests."""
    pipeline: Pipeline | None = None
    """Deploys from CodePipeline. Beside `github` two would deploy the same: one of them."""

    @model_validator(mode="after")
    def _check(self) -> Delivery:
        if self.github and self.pipeline:
            raise ValueError(
                "github and pipeline are both set, and would both deploy each push: leave one of them out"
            )
        return self


class Settings(_Section):
    """One environment."""

    profile: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{0,9}$")]
    """The name under `fmops.profiles` in cdk.json; part of the names of stacks."""
    prefix: Annotated[str, Pattern(pattern=r"^[a-z][a-z0-9]{1,11}$")] = "fmops"
    """Begins the stack names and the few physical names that a service forces."""
    account: Annotated[str, Pattern(pattern=r"^\d{12}$")] | None = None
    """The account and region of the AWS credentials are used when these are not set."""
    region: Annotated[str, Pattern(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """Such as eu-west-1."""
    bootstrap_qualifier: Annotated[str, Pattern(pattern=r"^[A-Za-z0-9_-]{1,10}$")] = "hnb659fds"
    """Of the CDK bootstrap stack, if it is not the standard one."""
    permissions_boundary: Annotated[str, Pattern(pattern=r"^[\w+=,.@-]{1,128}$")] | None = None
    """The name of a managed policy of the account that bounds every role."""
    data_lifetime: Literal["temporary", "retained"] = "retained"
    """`temporary`: data is deleted with its stack. `retained`: it survives, and is protected from deletion."""
    log_retention_days: RetentionDays = 30
    """Of every log group of ours."""
    images: Literal["docker", "codebuild"] = "docker"
    """Who builds the container images at a deploy: Docker on the machine that deploys, or CodeBuild in the account, for people without Docker."""
    network: Network = Network()
    identity: Identity = Identity()
    tracking: Tracking = Tracking()
    observability: Observability = Observability()
    capture: Capture = Capture()
    assistant: Assistant = Assistant()
    evaluation: Evaluation = Evaluation()
    review: Review = Review()
    analysis: Analysis = Analysis()
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.observability.mlflow_traces and self.tracking.kind == "server":
            raise ValueError(
                "observability.mlflow_traces is true, but the collector sends traces to an MLflow App only: set tracking.kind"
                " to app, or mlflow_traces to false"
            )
        if self.network.mode == "none" and self.assistant.compute == "ecs":
            raise ValueError(
                "network.mode is none, but assistant.compute ecs runs in a VPC: set one of them to new or lambda"
            )
        if (
            self.network.mode != "none"
            and self.network.egress == "public"
            and self.assistant.compute == "lambda"
        ):
            raise ValueError(
                "network.egress is public, but a function in a VPC gets no public address: set network.mode to none,"
                " or network.egress to nat or endpoints"
            )
        if self.network.egress == "endpoints":
            self._check_endpoints()
        self._check_delivery()
        vpc = self.network.vpc
        if (
            vpc
            and self.assistant.compute == "ecs"
            and self.assistant.ingress_cidrs
            and not vpc.public_subnets
        ):
            raise ValueError(
                "assistant.ingress_cidrs makes the load balancer face the internet, but network.vpc.public_subnets is empty:"
                " name one for each zone, or leave ingress_cidrs out"
            )
        return self

    def _check_delivery(self) -> None:
        pipeline = self.delivery.pipeline
        if pipeline and pipeline.then == self.profile:
            raise ValueError(
                f"delivery.pipeline.then is {self.profile}, which the pipeline deploys first: name another profile, or null for none"
            )
        if pipeline and pipeline.smoke and not self.assistant.ingress_cidrs:
            raise ValueError(
                "delivery.pipeline.smoke sends its test from CodeBuild, which does not reach an internal load balancer: set"
                " assistant.ingress_cidrs, or smoke to false"
            )
        if pipeline and pipeline.smoke and not self.identity.admin_password_sign_in:
            raise ValueError(
                "delivery.pipeline.smoke signs the demo's users in by password, which identity.admin_password_sign_in does not"
                " allow: set it to true, or smoke to false"
            )
        if pipeline and (fault := self.not_built_by_a_pipeline):
            raise ValueError(f"delivery.pipeline {fault}")
        github = self.delivery.github
        if (
            github
            and github.provider_arn
            and self.account
            and f"::{self.account}:" not in github.provider_arn
        ):
            raise ValueError(
                f"delivery.github.provider_arn is of another account than {self.account}: a role can trust its own account's"
                " provider only; name that, or leave it out to have it made"
            )

    def _check_endpoints(self) -> None:
        if self.identity.oidc:
            raise ValueError(
                "network.egress is endpoints, but the keys of identity.oidc are read from its issuer over the internet: use nat"
            )
        if self.review.backend == "ground_truth":
            raise ValueError(
                "network.egress is endpoints, but review.backend ground_truth gives the user pool a domain, and a pool with a domain"
                " is not reached through an endpoint: use nat"
            )

    @property
    def not_built_by_a_pipeline(self) -> str | None:
        """Say why a pipeline's machines, which are all of one architecture, cannot build this environment's images."""
        if self.images == "docker" and self.assistant.architecture != "x86_64":
            return (
                f"builds images on x86_64 machines, as the jobs need them, but assistant.architecture is {self.assistant.architecture}"
                " and images is docker: set images to codebuild, or assistant.architecture to x86_64"
            )
        return None

    @property
    def environment_name(self) -> str:
        """`<prefix>-<profile>`: unique in an account and region."""
        return f"{self.prefix}-{self.profile}"


def named(section: BaseModel, kind: Any) -> Iterator[tuple[str, str]]:
    """Yield each value of a kind, such as `ModelId`, with the dotted name of the setting that it stands in."""
    for name, hint in get_type_hints(type(section), include_extras=True).items():
        value = getattr(section, name, None)
        if isinstance(value, BaseModel):
            yield from ((f"{name}.{inner}", text) for inner, text in named(value, kind))
        elif value and _is_of(hint, kind):
            yield from ((name, text) for text in ([value] if isinstance(value, str) else value))


def _is_of(hint: Any, kind: Any) -> bool:
    return hint == kind or any(_is_of(inner, kind) for inner in get_args(hint))


def read_context(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """The context of cdk.json, overridden by the CDK CLI's and by `-c key=value` arguments.

    The CLI hands its context over in `CDK_CONTEXT_JSON`; `python app.py` alone has to read cdk.json itself.
    """
    context: dict[str, Any] = json.loads(CDK_JSON.read_text())["context"]
    context |= json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    for flag, pair in zip(arguments[::2], [*arguments[1::2], ""], strict=False):
        key, equals, value = pair.partition("=")
        if flag not in ("-c", "--context") or not equals:
            raise SettingsError(f"'{flag} {pair}' is not understood: give context as -c key=value.")
        context[key] = value
    return context


def load(context: Mapping[str, Any]) -> Settings:
    """The settings of the profile that the context names (`dev` unless told), or SettingsError."""
    profiles, name = context.get("fmops"), context.get("profile", "dev")
    if isinstance(profiles, dict) and "profiles" in context:
        profiles = {**profiles, **_profiles_of(Path(context["profiles"]))}
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise SettingsError(
            "cdk.json has no profiles: its context key 'fmops' must hold an object for each, such as {\"dev\": {}}."
        )
    if name not in profiles:
        raise SettingsError(
            f"The profile '{name}' is not in the context 'fmops' of cdk.json: use {_or(sorted(profiles))}."
        )
    values = {**profiles[name], "profile": name}
    values["assistant"] = {**values.get("assistant", {}), **_port_overrides(context)}
    if context.get("sign_in") == "password":
        # For a rehearsal, whose users are the demo's: nothing else of a profile is changed for it.
        identity = {**values.get("identity", {}), "mfa": "optional", "admin_password_sign_in": True}
        values["identity"] = identity
    if "authorization" in context:
        values["assistant"]["authorization"] = context["authorization"]
    try:
        # JSON mode: lists become tuples, while text never becomes a number.
        return Settings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(name, detail) for detail in error.errors())) from None


def load_next(context: Mapping[str, Any], profile: Settings) -> Settings | None:
    """The settings of the profile that the pipeline of a profile deploys next, or SettingsError; none without a next one."""
    pipeline = profile.delivery.pipeline
    if pipeline is None or pipeline.then is None:
        return None
    following = load({**context, "profile": pipeline.then})
    if following.account != profile.account and not (following.account and profile.account):
        raise SettingsError(
            f"fmops.{profile.profile}.delivery.pipeline.then is {pipeline.then}, but only one of them names its account: set account in both, or in none."
        )
    if fault := following.not_built_by_a_pipeline:
        raise SettingsError(f"fmops.{following.profile}: the pipeline of {profile.profile} {fault}.")
    return following


def _profiles_of(file: Path) -> dict[str, Any]:
    """Profiles that are kept in a file of their own: `-c profiles=file.json`."""
    try:
        profiles = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"The file {file} that profiles names cannot be read: {error}.") from None
    if not isinstance(profiles, dict):
        raise SettingsError(f"The file {file} must hold an object with a profile under each name.")
    return profiles


def _port_overrides(context: Mapping[str, Any]) -> dict[str, Any]:
    """Ports given as `-c port=8090`, which arrive as text."""
    ports = {
        key: context[key]
        for key in ("port", "collector_port", "collector_health_port", "collector_content_port")
        if key in context
    }
    return {key: int(value) if str(value).isdecimal() else value for key, value in ports.items()}


def _sentence(profile: str, detail: ErrorDetails) -> str:
    field = ".".join(["fmops", profile, *(str(part) for part in detail["loc"])])
    if detail["type"] == "extra_forbidden":
        known = _known_settings(detail["loc"][:-1])
        close = difflib.get_close_matches(str(detail["loc"][-1]), known, 1)
        return f"{field} is not a setting: use {f'{close[0]} instead' if close else _or(known)}."
    if detail["type"] == "value_error":
        return f"{field}: {detail['ctx']['error']}."
    allowed = detail["msg"].replace("Input should ", "it should ").replace("String should ", "it should ")
    return f"{field} is {json.dumps(detail['input'], default=str)}, but {allowed}."


def _known_settings(location: Sequence[int | str]) -> list[str]:
    section: type[BaseModel] = Settings
    parts = iter(location)
    for part in parts:
        annotation = section.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            # The next part is a key.
            next(parts, None)
            annotation = get_args(annotation)[1]
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)  # noqa: S101
        section = annotation
    return sorted(section.model_fields)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def main() -> None:
    """Print the name of a profile's environment, for the Makefile."""
    parser = argparse.ArgumentParser(prog="python -m settings", description=main.__doc__)
    parser.add_argument("--profile", default="dev", help="a profile of cdk.json (default: dev)")
    try:
        profile = load({**read_context(), "profile": parser.parse_args().profile})
    except SettingsError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{profile.environment_name}\n")


if __name__ == "__main__":
    main()
