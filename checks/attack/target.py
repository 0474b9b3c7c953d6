"""The target of the attacks: the assistant's application with the default guardrails and the project's Cedar
policies, over a local AWS on a free port of the loopback. It starts everything that it attacks, and can reach
nothing else."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from fastapi import FastAPI
from moto.cognitoidp.models import cognitoidp_backends
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from checks import policy_store
from checks.attack.model import Obedient
from checks.attack.pack import CLAIM, DOCUMENT
from demo import accounts, seed
from fmops.agent import KNOWLEDGE, NAME, NAMESPACE, PROMPT
from fmops.agent.records import Records
from fmops.agent.resources import APPROVALS, Resolver
from fmops.agent.tools import build_tools
from fmops.assistant.service import create_app
from fmops.authorization import AuthorizationMiddleware, Authorizer
from fmops.conversation.agent import build_agent
from fmops.conversation.approval_queue import ApprovalQueue, ApprovalTable
from fmops.conversation.checkpoints import WaitingRuns
from fmops.conversation.conversation import Conversation
from fmops.conversation.recording import RecordingMiddleware
from fmops.guardrails import GuardrailEngine, GuardrailSettings, build_engine
from fmops.identity.tokens import Pseudonyms, TokenVerifier
from fmops.interaction import Captured
from fmops.prompts import PromptSource, packaged
from fmops.telemetry import setup
from fmops.toolkit.context import record_outcome
from fmops.toolkit.knowledge import KnowledgeDocument
from fmops.toolkit.knowledge import load as load_documents
from local.aws.kernel.cloud import ACCOUNT, Cloud
from local.aws.server import LocalAws
from local.run.up import use_as_environment

RECORDS, WAITING = "attack-records", "attack-approvals"


class Sink:
    """A sink that stores what the assistant captures for the data lake."""

    def __init__(self) -> None:
        self.records: list[Captured] = []

    def put(self, record: Captured) -> None:
        self.records.append(record)

    def close(self) -> None:
        """Do nothing, since nothing waits."""


class Documents:
    """A knowledge base in which every search finds the planted document, or the real ones while none is planted."""

    minimum_similarity = 0.0

    def __init__(self) -> None:
        self.planted = ""
        (self._document,) = (each for each in load_documents(KNOWLEDGE) if each.id == DOCUMENT)

    def search(
        self,
        query: str,  # noqa: ARG002 - it finds what is planted
        audiences: Sequence[str] | None,  # noqa: ARG002 - whoever asks
        limit: int = 1,  # noqa: ARG002 - it finds one document
    ) -> list[tuple[KnowledgeDocument, float]]:
        return [(each, 0.9) for each in self.document(DOCUMENT, None)]

    def document(
        self,
        document_id: str,  # noqa: ARG002 - there is one document
        audiences: Sequence[str] | None,  # noqa: ARG002 - whoever asks
        page: int | None = None,  # noqa: ARG002 - it has one page
    ) -> list[KnowledgeDocument]:
        return [replace(self._document, text=self.planted or self._document.text)]


class Log(logging.Handler):
    """A log handler that stores every line from INFO up, with its exception."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass
class Target:
    """The application, and every place in which an attack can leave traces."""

    app: FastAPI
    model: Obedient
    guardrails: GuardrailEngine
    sink: Sink
    documents: Documents
    records: Records
    cloud: Cloud
    pool: str
    client: str
    subjects: dict[str, str]
    log: Log = field(default_factory=Log)
    spans: InMemorySpanExporter | None = None
    changed: bool = True
    """Whether records differ from their initial state."""
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        """Return an ID token as the pool signs it, with the claims that its trigger adds."""
        if user not in self._tokens:
            profile = accounts.load()["users"][user]
            claims = {
                "cognito:groups": profile["groups"],
                "mfa": str(profile.get("mfa", False)).lower(),
                "auth_time": int(time.time()),
                **{f"custom:{name}": profile[name] for name in ("region", "department") if name in profile},
            }
            pool = cognitoidp_backends[ACCOUNT][self.cloud.region].user_pools[self.pool]
            self._tokens[user], _ = pool.create_jwt(self.client, user, "id", 7200, claims)
        return self._tokens[user]

    def plant(self, claim: str, text: str) -> None:
        """Add a note from the post room to a claim's file."""
        self.records.add_note(claim, "post room", text)
        self.changed = True

    def reset(self) -> None:
        """Restore the claims of the demo's data, one without its planted note, and remove the planted
        document.
        """
        self.documents.planted = ""
        if self.changed:
            data = accounts.load()
            data["records"]["claim"][CLAIM].pop("notes", None)
            seed.put_items(RECORDS, data, self.subjects)
        self.changed = False


@contextmanager
def target(*, telemetry: bool = False) -> Iterator[Target]:
    """Run the target. ``telemetry`` installs the runtime's own for the whole process, with spans in memory."""
    kept = dict(os.environ)
    spans = InMemorySpanExporter() if telemetry else None
    stop = setup.start(exporter=spans, reader=InMemoryMetricReader()) if spans else lambda: None
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalAws(port=0, directory=Path(directory), enforce=False) as cloud,
    ):
        use_as_environment(cloud)
        try:
            yield _assistant(cloud, spans)
        finally:
            stop()
            os.environ.clear()
            os.environ.update(kept)


def guardrails(session: boto3.Session) -> GuardrailEngine:
    """Return the default guardrails, with enough time to answer: a late detector would block everything
    and prove nothing."""
    return build_engine(GuardrailSettings().patient(), session, observers=[record_outcome])


def _assistant(cloud: Cloud, spans: InMemorySpanExporter | None) -> Target:
    session = cloud.session()
    pool, client, subjects, store = _users(cloud)
    _tables(cloud)
    records = Records(cloud.client("dynamodb"), RECORDS)
    resolver = Resolver(records, pool)
    authorizer = Authorizer(cloud.client("verifiedpermissions"), store)
    authorizer.catalog.refresh()
    engine, model, sink, documents = guardrails(session), Obedient(), Sink(), Documents()
    runs = WaitingRuns(WAITING, session, Config(), keep_seconds=600)
    prompts = PromptSource(packaged(NAME, PROMPT))
    agent = build_agent(
        model=model,
        prompts=prompts,
        tools=build_tools(records, documents, resolver.readable(authorizer), engine),
        guardrails=engine,
        authorization=AuthorizationMiddleware(
            authorizer, resolver, principals=resolver.principals, approvals=APPROVALS
        ),
        recording=RecordingMiddleware(),
        waiting=APPROVALS,
        checkpointer=runs,
    )
    pseudonyms = Pseudonyms("a key of sixteen characters")
    conversation = Conversation(
        agent=agent,
        guardrails=engine,
        embeddings=_embeddings(),
        embedding_model_id="none",
        sink=sink,  # type: ignore[arg-type]
        pseudonyms=pseudonyms,
        model_id="obedient",
        service="assistant",
        environment="attack",
        prompts=prompts,
        waiting=ApprovalQueue(ApprovalTable(cloud.client("dynamodb"), WAITING), runs, resolver.in_words),
    )
    verifier = TokenVerifier(
        jwks_url=f"{cloud.endpoint}/{pool}/.well-known/jwks.json",
        issuer=f"https://cognito-idp.{cloud.region}.amazonaws.com/{pool}",
        audience=client,
    )
    app = create_app(
        conversation=conversation,
        guardrails=engine,
        sink=sink,  # type: ignore[arg-type]
        verifier=verifier,
        pseudonyms=pseudonyms,
    )
    made = Target(app, model, engine, sink, documents, records, cloud, pool, client, subjects, spans=spans)
    made.reset()
    return made


def _embeddings() -> Any:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    return DeterministicFakeEmbedding(size=8)


def _users(cloud: Cloud) -> tuple[str, str, dict[str, str], str]:
    """Create a user pool with the demo's users and a policy store with the project's policies; return pool,
    client, subjects and store."""
    cognito, permissions = cloud.client("cognito-idp"), cloud.client("verifiedpermissions")
    pool = cognito.create_user_pool(PoolName="attack")["UserPool"]
    client = cognito.create_user_pool_client(UserPoolId=pool["Id"], ClientName="attack")["UserPoolClient"]
    subjects = {}
    for user in accounts.load()["users"]:
        made = cognito.admin_create_user(UserPoolId=pool["Id"], Username=user)["User"]
        subjects[user] = next(each["Value"] for each in made["Attributes"] if each["Name"] == "sub")
    store = policy_store.make(cloud, pool["Id"], "attack")
    permissions.create_identity_source(
        policyStoreId=store,
        principalEntityType=f"{NAMESPACE}::User",
        configuration={
            "cognitoUserPoolConfiguration": {
                "userPoolArn": pool["Arn"],
                "clientIds": [client["ClientId"]],
                "groupConfiguration": {"groupEntityType": f"{NAMESPACE}::Group"},
            }
        },
    )
    return pool["Id"], client["ClientId"], subjects, store


def _tables(cloud: Cloud) -> None:
    for table, keys in ((RECORDS, ("kind", "id")), (WAITING, ("PK", "SK"))):
        cloud.client("dynamodb").create_table(
            TableName=table,
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            BillingMode="PAY_PER_REQUEST",
        )
