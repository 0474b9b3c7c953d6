"""Settings of the assistant: where it runs, its model, its guardrails and its limits."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import (
    Field,
    JsonValue,
    model_validator,
)

from settings.kinds import ModelId, Pattern, Port, Section
from settings.network import PRIVATE_RANGES

# The CPU units of Fargate, and the memory (MiB) that each can have.
FARGATE_SIZES = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}


class BedrockGuardrail(Section):
    """The guardrail in Bedrock, created when `assistant.guardrails` has a detector of kind
    `bedrock_guardrail`.
    """

    tier: Literal["CLASSIC", "STANDARD"] = "CLASSIC"
    """Tier of the guardrail. `STANDARD` knows more languages and prompt leakage, and needs a
    `cross_region_profile`."""
    cross_region_profile: Annotated[str, Pattern(pattern=r"^[a-z-]+\.guardrail\.v\d+:\d+$")] | None = None
    """Profile with which Bedrock may check text in other regions of a geography: `us.guardrail.v1:0`, `eu.`,
    `apac.` ..."""
    denied_words: tuple[str, ...] = ()
    """Words and phrases that are blocked wherever they occur, exactly as written."""
    denied_topics: dict[str, str] = {}
    """Definitions of denied topics, by topic name."""


class Domain(Section):
    """A name of your own for the assistant, in a hosted zone of Route 53 in the same account."""

    name: Annotated[str, Pattern(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    """Name under which the assistant is reached."""
    hosted_zone_id: Annotated[str, Pattern(pattern=r"^Z[A-Z0-9]+$")]
    """Id of the public zone in Route 53 to which the name is added."""
    hosted_zone_name: Annotated[str, Pattern(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    """Domain of the zone, with which the name ends."""

    @model_validator(mode="after")
    def _check(self) -> Domain:
        if not f".{self.name}".endswith(f".{self.hosted_zone_name}"):
            raise ValueError(
                f"name is {self.name}, but must end with the hosted zone's {self.hosted_zone_name}"
            )
        return self


class Firewall(Section):
    """AWS WAF in front of the assistant: AWS's managed rules, and a limit for each address."""

    requests_per_five_minutes: Annotated[int, Field(ge=10, le=2_000_000_000)] = 1000
    """Maximum requests from one address in five minutes; those above it are answered 429 until its rate has
    fallen."""


class Limits(Section):
    """Limits of what may be spent in a window of time, which begins in UTC. A limit that is not set does not
    bind.
    """

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Maximum questions per minute, whatever number of model calls each takes."""
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Maximum tokens per minute of all model calls, in and out. A running call counts with the most it may
    take: its input and `max_output_tokens`."""
    tokens_per_day: Annotated[int, Field(ge=1)] | None = None
    """Maximum tokens of all model calls from midnight."""
    tokens_per_month: Annotated[int, Field(ge=1)] | None = None
    """Maximum tokens of all model calls from the first of the month."""
    usd_per_day: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Maximum list price of the tokens (`fmops/telemetry/prices.toml`) in USD, from midnight."""
    usd_per_month: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Maximum list price of the tokens in USD, from the first of the month."""


class Budgets(Section):
    """Budgets of users, teams and the whole deployment for model calls (docs/budgets.md)."""

    user: Limits = Limits(usd_per_day=20)
    """Limits of each user."""
    team: Limits = Limits()
    """Limits of each team that `teams` does not name. A person in several teams spends from the budget of
    each.
    """
    teams: dict[str, Limits] = {}
    """Limits of single teams, by name."""
    deployment: Limits = Limits(usd_per_month=1000)
    """Limits of everyone together."""
    team_claim: Annotated[str, Pattern(pattern=r"^\S*$")] = ""
    """Claim of the ID token that names a user's team, or a list of them; when empty, the groups are the
    teams.
    """
    when_unavailable: Literal["refuse", "allow"] = "refuse"
    """Behaviour while the counters do not answer: `refuse` answers 503; `allow` answers, and counts later what
    it can."""

    @property
    def limited(self) -> bool:
        """Return whether any limit is set."""
        return any(each != Limits() for each in (self.user, self.team, self.deployment, *self.teams.values()))


class Assistant(Section):
    """The application, on ECS Fargate behind a load balancer or on Lambda behind an API (docs/deploy.md says
    when to use which)."""

    compute: Literal["ecs", "lambda"] = "ecs"
    """Compute service of the application. `lambda` runs the same image, paid per request and free while idle; a cold
    start takes seconds."""
    model_id: ModelId = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    """A Bedrock model id, or the id of a cross-region inference profile (`us.`, `eu.`, `apac.`, `global.`
    ...).
    """
    max_output_tokens: Annotated[int, Field(ge=1, le=200_000)] = 4096
    """Maximum output tokens of one model call. A lower `max_tokens` of a client is honoured. An answer that is
    cut at the limit ends with `finish_reason: length`. Bedrock refuses every call if this is more than the
    model allows."""
    embedding_model_id: ModelId = "amazon.titan-embed-text-v2:0"
    """Embedding model for the knowledge base's search and the captured questions. A change makes windows of the
    analysis incomparable."""
    architecture: Literal["arm64", "x86_64"] = "arm64"
    """Processor architecture of the image and of the task, so that they cannot differ."""
    cpu: Literal[256, 512, 1024, 2048, 4096] = 512
    """CPU units of a task on ECS (1024 are one CPU); on Lambda, CPU follows `memory_mib`, one whole CPU at
    1769.
    """
    memory_mib: int = 1024
    """Memory of the task or the function in MiB."""
    min_tasks: Annotated[int, Field(ge=1, le=100)] = 1
    """Minimum tasks that ECS keeps running; above it, autoscaling follows turns in progress, requests and
    CPU.
    """
    max_tasks: Annotated[int, Field(ge=1, le=100)] = 1
    """Maximum tasks on ECS. If it is above `min_tasks`, the service scales on turns in progress, requests
    and CPU.
    """
    turns_per_task: Annotated[int, Field(ge=1, le=1000)] = 48
    """Maximum turns at once in one task; new ones above it are refused with 503. With autoscaling, tasks are
    added from 60 % of it on."""
    turns_per_user: Annotated[int, Field(ge=1, le=1000)] = 6
    """Maximum turns of one user at once in one task; new ones above it are refused with 429."""
    turn_seconds: Annotated[int, Field(ge=10, le=870)] = 90
    """Seconds for all calls of a turn, which then ends with 504. On ECS at most 110, since the load balancer
    waits 120."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Maximum requests at once on Lambda, reserved from the account's quota; by default, only the quota limits
    them."""
    timeout_seconds: Annotated[int, Field(ge=30, le=900)] = 300
    """Seconds after which one request on Lambda is stopped."""
    port: Port = 8080
    """Port of the assistant in its container."""
    max_body_kib: Annotated[int, Field(ge=64, le=10_240)] = 1024
    """Maximum KiB of one request's body; a larger one is refused with 413 before it is read."""
    issuer_keys_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """Hours for which the issuer's known keys stay valid while it cannot be reached; after that, requests are
    refused with 503."""
    collector_port: Port = 4318
    """Port of the collector, for OTLP over HTTP."""
    collector_health_port: Port = 13133
    """Port of the collector's health check."""
    collector_content_port: Port = 4319
    """Port on which the collector takes traces with content, with `observability.mlflow_traces`."""
    certificate_arn: (
        Annotated[str, Pattern(pattern=r"^arn:[\w-]+:acm:[\w-]+:\d{12}:certificate/[\w-]+$")] | None
    ) = None
    """Certificate of the load balancer's listener, or of the API's `domain`. Without one, a `domain` gets
    its own.
    """
    domain: Domain | None = None
    """Domain of the assistant, with an alias record. A certificate is created for it unless `certificate_arn`
    is set."""
    firewall: Firewall | None = None
    """Web application firewall, which costs about 9 USD per month; none by default."""
    ingress_cidrs: tuple[str, ...] = ()
    """IPv4 ranges that may reach the assistant. With none, the load balancer is internal to the VPC; the API of
    Lambda needs at least one."""
    guardrails: dict[str, JsonValue] = {}
    """Settings of `fmops.guardrails` (docs/guardrails.md), checked by their schema; the library's defaults when
    empty."""
    bedrock_guardrail: BedrockGuardrail = BedrockGuardrail()
    authorization: Literal["ENFORCE", "LOG_ONLY"] = "ENFORCE"
    """Mode of authorization. `LOG_ONLY` decides and records every tool call but stops none: for trying
    policies, never for untrusted users."""
    budgets: Budgets = Budgets()
    """Limits of spending. Without any, no table of counters is created."""
    playground_models: tuple[ModelId, ...] = ()
    """Models that prompt engineers may try in the playground beside `model_id`; the task's role may call
    them.
    """
    prompt_refresh_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds between each task's checks of which prompt version has the alias `production`: a promotion takes
    this long to serve."""
    instrumentor: Literal["openllmetry", "otel"] = "openllmetry"
    """Package that traces LangChain: Traceloop's, or OpenTelemetry's own, which is beta and makes fewer
    spans.
    """

    @model_validator(mode="after")
    def _check(self) -> Assistant:
        if self.compute == "ecs":
            self._check_tasks()
        else:
            self._check_function()
        ports = {self.port, self.collector_port, self.collector_health_port, self.collector_content_port}
        if len(ports) < 4:
            raise ValueError(
                "port, collector_port, collector_health_port and collector_content_port must differ, "
                "since the containers share one network"
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
                    f"ingress_cidrs has {cidr}, which is not within a private range, so "
                    "certificate_arn or domain must be set: tokens would cross the internet "
                    "unencrypted"
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
                f"turn_seconds is {self.turn_seconds}, but with compute ecs it is 110 at most: the "
                "load balancer waits for 120 seconds"
            )
        if self.concurrency is not None:
            raise ValueError(
                "concurrency applies to compute lambda, but compute is ecs: set min_tasks and max_tasks "
                "instead"
            )

    def _check_function(self) -> None:
        if not 512 <= self.memory_mib <= 10240:
            raise ValueError(f"memory_mib is {self.memory_mib}, but with compute lambda it is 512 to 10240")
        if self.turn_seconds > self.timeout_seconds - 10:
            raise ValueError(
                f"turn_seconds is {self.turn_seconds}, but must be at least 10 less than "
                f"timeout_seconds ({self.timeout_seconds}), so that a turn ends before its function is "
                "stopped"
            )
        if (self.min_tasks, self.max_tasks) != (1, 1):
            raise ValueError(
                "min_tasks and max_tasks apply to compute ecs, but compute is lambda: set concurrency instead"
            )
        if self.certificate_arn and not self.domain:
            raise ValueError(
                "certificate_arn is set, but with compute lambda a certificate needs a domain: the "
                "API's own address has TLS already"
            )
        if not self.ingress_cidrs:
            raise ValueError(
                "ingress_cidrs is empty, but with compute lambda the API is on the internet: name who "
                "may reach it, such as 203.0.113.7/32, or 0.0.0.0/0 for everyone, who then still "
                "needs a token"
            )
