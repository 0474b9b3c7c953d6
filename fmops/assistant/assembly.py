"""Assembly of the assistant from its settings: the one place that knows all of its parts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config
from langchain_aws import BedrockEmbeddings
from opentelemetry import trace
from starlette.types import ASGIApp

from fmops import deadline
from fmops.agent import KNOWLEDGE, NAME, PROMPT
from fmops.agent.records import Records
from fmops.agent.resources import APPROVALS, Resolver
from fmops.agent.tools import build_tools
from fmops.assistant import desks
from fmops.assistant.approvals import Approvals
from fmops.assistant.document_routes import add_document_routes
from fmops.assistant.elsewhere import Elsewhere
from fmops.assistant.flushing import FlushEachRequest
from fmops.assistant.home_routes import add_home_routes
from fmops.assistant.service import create_app
from fmops.assistant.settings import AssistantSettings
from fmops.assistant.stopping import Stop
from fmops.assistant.why import Why
from fmops.assistant.why_routes import add_why_routes
from fmops.authorization import AuthorizationMiddleware, Authorizer
from fmops.budgets import Budgets, CounterTable, estimated_tokens
from fmops.capture import FirehoseSink, Spool
from fmops.conversation.agent import build_agent
from fmops.conversation.approval_queue import KEEP_SECONDS, ApprovalQueue, ApprovalTable
from fmops.conversation.budget_middleware import tool_tokens
from fmops.conversation.checkpoints import WaitingRuns
from fmops.conversation.conversation import Conversation
from fmops.conversation.recording import RecordingMiddleware
from fmops.conversation.spending import TurnBudgets
from fmops.conversation.turns import EmbeddedMetric, Turns
from fmops.guardrails import Direction, GuardrailEngine, build_engine
from fmops.guardrails.metrics import observe_guardrails
from fmops.identity.sign_in import SignIn
from fmops.identity.tokens import Pseudonyms, TokenVerifier
from fmops.prompts import PromptSource, from_mlflow, packaged
from fmops.telemetry.content import content_traces
from fmops.telemetry.model import MeasuredChatBedrock
from fmops.telemetry.setup import start
from fmops.threads import Threads
from fmops.toolkit.bedrock_knowledge import choose
from fmops.toolkit.context import record_outcome
from fmops.toolkit.knowledge import PUBLIC, KnowledgeStore, KnowledgeUnavailableError
from fmops.traces import TraceReader

ONCE_MORE: Any = {"total_max_attempts": 2, "mode": "standard"}
FAST = Config(connect_timeout=1, read_timeout=3, max_pool_connections=64, retries=ONCE_MORE)
"""Time-outs of calls on the request path that decide or read: a slow answer there counts as a denial or an
error.
"""
COUNTERS = Config(connect_timeout=0.5, read_timeout=1, max_pool_connections=16, retries=ONCE_MORE)
"""Time-outs of budget calls, which every turn waits for. A caller without an answer by then is told so. Each
call may be repeated."""
EMBEDDING = Config(connect_timeout=1, read_timeout=5, max_pool_connections=64, retries=ONCE_MORE)
"""Time-outs of embeddings, and of searches, which embed the query first."""
MODEL = Config(connect_timeout=2, read_timeout=60, retries=ONCE_MORE)
"""Time-outs of model calls, which the turn's budget may end earlier: no call outlives it."""


def assemble(settings: AssistantSettings, stop: Stop | None = None) -> tuple[ASGIApp, Turns]:
    """Return the whole application, which ends with ``stop``, and its count of turns."""
    # First: instruments that are made before there is a provider lose the zeros that they begin with.
    stop_telemetry = start(
        instrumentor=settings.instrumentor,
        content_exporter=content_traces(settings.content_traces_endpoint),
    )
    session = boto3.Session(region_name=settings.region)
    records = Records(deadline.inheriting(session.client("dynamodb", config=FAST)), settings.records_table)
    embeddings = _embeddings(settings, session)
    guardrails = build_engine(settings.guardrails, session, observers=[record_outcome, observe_guardrails])
    permissions = deadline.inheriting(session.client("verifiedpermissions", config=FAST))
    authorizer = Authorizer(
        permissions, settings.policy_store_id, enforce=settings.authorization_mode == "ENFORCE"
    )
    resolver = Resolver(records, settings.principal_prefix)
    base, readable = _documents(settings, session, embeddings), resolver.readable(authorizer)
    pseudonyms = Pseudonyms(_secret(session, settings.pseudonym_key_secret))
    sink, raw_sink = _sinks(settings, session)
    runs = WaitingRuns(settings.approvals_table, session, FAST, keep_seconds=KEEP_SECONDS)
    table = ApprovalTable(session.client("dynamodb", config=FAST), settings.approvals_table)
    prompts = _prompts(settings)
    tools = build_tools(records, base, readable, guardrails)
    turn_budgets = _turn_budgets(settings, session, pseudonyms, prompts, tool_tokens(tools))
    model = _model(settings, session)
    agent = build_agent(
        model=model,
        tools=tools,
        guardrails=guardrails,
        authorization=AuthorizationMiddleware(
            authorizer, resolver, principals=resolver.principals, approvals=APPROVALS
        ),
        recording=RecordingMiddleware(),
        prompts=prompts,
        waiting=APPROVALS,
        checkpointer=runs,
    )
    turns = Turns(settings.max_turns, settings.max_turns_per_user)
    conversation = Conversation(
        agent=agent,
        guardrails=guardrails,
        embeddings=embeddings,
        embedding_model_id=settings.embedding_model_id,
        sink=sink,
        pseudonyms=pseudonyms,
        model_id=settings.model_id,
        service=settings.service_name,
        environment=settings.environment,
        prompts=prompts,
        waiting=ApprovalQueue(table, runs, resolver.in_words),
        raw_sink=raw_sink,
        trace_content=bool(settings.content_traces_endpoint),
        max_output_tokens=settings.max_output_tokens,
        turn_budgets=turn_budgets,
        turns=turns,
        turn_seconds=settings.turn_seconds,
    )
    verifier, sign_in = _verifier(settings, session), _sign_in(settings, session)
    approvals = Approvals(table, conversation, Authorizer(permissions, settings.policy_store_id), resolver)
    review = desks.review_desk(settings, permissions, resolver, base, guardrails, pseudonyms)
    why = Why(
        TraceReader(session.client("xray", config=FAST), transaction_search=settings.transaction_search),
        authorizer=Authorizer(permissions, settings.policy_store_id),
        resolver=resolver,
        pseudonyms=pseudonyms,
        region=settings.region,
    )
    s3 = session.client("s3", config=FAST)
    drafting = desks.draft_desk(
        settings, s3, permissions, resolver, base, guardrails, pseudonyms, model, turn_budgets
    )
    elsewhere = Elsewhere(session, settings.home, tracking_uri=settings.tracking_uri, config=FAST)
    decides = Authorizer(permissions, settings.policy_store_id)
    home = desks.home(settings, elsewhere, approvals, review, drafting, decides, resolver)
    app = create_app(
        conversation=conversation,
        guardrails=guardrails,
        sink=sink,
        verifier=verifier,
        pseudonyms=pseudonyms,
        review=review,
        playground=desks.playground(settings, permissions, resolver, turn_budgets, turns),
        drafting=drafting,
        sign_in=sign_in,
        approvals=approvals,
        warm_up=[
            lambda: _greet(guardrails, base),
            authorizer.catalog.refresh,
            verifier.keys.refresh,
            sign_in.refresh,
            *([turn_budgets.greet] if turn_budgets else []),
        ],
        max_body_bytes=settings.max_body_bytes,
        on_stop=[prompts.stop, stop_telemetry],
        stop=stop,
        threads=2 * settings.max_turns,
        routes=[
            lambda app: add_document_routes(app, base, readable),
            lambda app: add_why_routes(app, why),
            lambda app: add_home_routes(app, home),
        ],
        beside=[EmbeddedMetric(settings.turns_namespace, settings.service_name, turns).each_minute]
        if settings.turns_namespace
        else [],
    )
    return (FlushEachRequest(app, conversation.flush) if settings.flush_each_request else app), turns


def _model(settings: AssistantSettings, session: boto3.Session) -> MeasuredChatBedrock:
    """Return the chat model, with a thread for each call."""
    # Each turn waits for one model call, and a call that was abandoned may not have noticed yet.
    calls = 2 * settings.max_turns
    config = MODEL.merge(Config(max_pool_connections=calls))
    return MeasuredChatBedrock(
        client=deadline.inheriting(session.client("bedrock-runtime", config=config)),
        threads=Threads(calls, "model"),
        model_id=settings.model_id,
        max_tokens=settings.max_output_tokens,
        temperature=0,
        region_name=settings.region,
    )


def _embeddings(settings: AssistantSettings, session: boto3.Session) -> BedrockEmbeddings:
    """Return the embedding model of questions and documents."""
    return BedrockEmbeddings(
        client=deadline.inheriting(session.client("bedrock-runtime", config=EMBEDDING)),
        model_id=settings.embedding_model_id,
        region_name=settings.region,
    )


def _documents(
    settings: AssistantSettings, session: boto3.Session, embeddings: BedrockEmbeddings
) -> KnowledgeStore:
    """Return the documents: those of the knowledge base, or without one those of the image."""
    return choose(
        lambda: deadline.inheriting(session.client("bedrock-agent-runtime", config=EMBEDDING)),
        settings.knowledge_base_id,
        KNOWLEDGE,
        embeddings,
        minimum_similarity=settings.minimum_similarity,
    )


def _verifier(settings: AssistantSettings, session: boto3.Session) -> TokenVerifier:
    """Return the verifier of ID tokens."""
    return TokenVerifier(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        jwks_url=_published(session, settings.user_pool_id, "jwks.json"),
        group_claim=settings.oidc_group_claim,
        key_max_age=settings.key_max_age_seconds,
    )


def _sign_in(settings: AssistantSettings, session: boto3.Session) -> SignIn:
    """Return the sign-in of people at the pages."""
    return SignIn(
        settings.oidc_issuer,
        settings.oidc_audience,
        document_url=_published(session, settings.user_pool_id, "openid-configuration"),
        logout="cognito" if settings.user_pool_id else "oidc",
        refusal=settings.no_sign_in,
    )


def _sinks(settings: AssistantSettings, session: boto3.Session) -> tuple[FirehoseSink, FirehoseSink | None]:
    """Return the sink of records, and the sink of texts before redaction if they are captured."""
    firehose = session.client("firehose", config=FAST)
    durable = settings.spool_is_durable
    sink = FirehoseSink(firehose, settings.delivery_stream, Spool(settings.spool_directory, durable=durable))
    if not settings.raw_delivery_stream:
        return sink, None
    raw_spool = Spool(settings.spool_directory / "raw", durable=durable)
    return sink, FirehoseSink(firehose, settings.raw_delivery_stream, raw_spool)


def _prompts(settings: AssistantSettings) -> PromptSource:
    """Return the source of the prompt, which is refreshed every few seconds from now on."""
    prompts = PromptSource(
        packaged(NAME, PROMPT),
        from_mlflow(settings.tracking_uri) if settings.tracking_uri else None,
        alias=settings.prompt_alias,
        seconds=settings.prompt_refresh_seconds,
    )
    prompts.start()
    return prompts


def _turn_budgets(
    settings: AssistantSettings,
    session: boto3.Session,
    pseudonyms: Pseudonyms,
    prompts: PromptSource,
    tools: int,
) -> TurnBudgets | None:
    """Return the budgets of turns, or None without a table. ``tools`` is the number of tokens that tool
    descriptions take."""
    if not settings.budgets_table:
        return None
    table = CounterTable(session.client("dynamodb", config=COUNTERS), settings.budgets_table)
    return TurnBudgets(
        Budgets(table, when_unavailable=settings.budgets.when_unavailable),
        settings.budgets,
        pseudonyms,
        model_id=settings.model_id,
        max_output_tokens=settings.max_output_tokens,
        overhead=lambda: estimated_tokens([prompts.current.template]) + tools,
    )


def _secret(session: boto3.Session, arn: str) -> str:
    """Read a secret at the start with the service's own role, so that no environment variable holds it."""
    answer = session.client("secretsmanager", config=FAST).get_secret_value(SecretId=arn)
    return str(answer["SecretString"])


def _published(session: boto3.Session, user_pool_id: str, document: str) -> str:
    """Return the address at which Cognito publishes a document of a pool, such as its keys; empty without a
    pool.

    It is on Cognito's API endpoint, which a VPC endpoint may serve.
    """
    cognito = session.client("cognito-idp", config=FAST)
    return f"{cognito.meta.endpoint_url}/{user_pool_id}/.well-known/{document}" if user_pool_id else ""


def _greet(guardrails: GuardrailEngine, base: KnowledgeStore) -> None:
    """Call each service once, within a span of this service: without a parent, the call would appear as a
    service of its own on X-Ray's map."""
    with trace.get_tracer(__name__).start_as_current_span("warm-up", kind=trace.SpanKind.SERVER):
        guardrails.check_sync("Good morning.", Direction.INPUT)
        with suppress(KnowledgeUnavailableError):  # an assistant without its documents still serves
            base.search("Good morning.", [PUBLIC])
