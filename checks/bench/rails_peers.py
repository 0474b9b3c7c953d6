"""An agent behind an HTTP server, bare or with rails: ``python -m checks.bench.rails_peers KIND PORT OTLP_ENDPOINT``.

Each kind of ``rails.KINDS`` adds a layer to the one before it. Detectors, policy store, delivery stream and model
answer at once, without a network: our own time is measured.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import boto3
import jwt
import langsmith
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from checks.bench.authorization import Context, Store, look_up, resolve
from fmops.conversation.wire import ChatRequest
from fmops.telemetry.instrumentors import _at_once

USAGE: Any = {"input_tokens": 84, "output_tokens": 14, "total_tokens": 98}
ISSUER, AUDIENCE = "https://issuer.example", "bench"
_Answer = Callable[[ChatRequest], Awaitable[str]]


class Model(BaseChatModel):
    """A model that calls the tool, then answers, and costs nothing itself."""

    measured: bool = False

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(**kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if isinstance(messages[-1], ToolMessage):
            answer = AIMessage("It is open, and the adjuster has seen it.", usage_metadata=USAGE)
        else:
            wanted = [{"name": "look_up", "args": {"claim": "C-1"}, "id": "c1"}]
            answer = AIMessage("", tool_calls=wanted, usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if not self.measured:
            return self._generate(messages)
        from fmops.telemetry.model import ModelCall

        with ModelCall("us.anthropic.claude-haiku-4-5-20251001-v1:0") as call:
            result = self._generate(messages)
            call.add(result.generations[0].message)
        return result


class Stream:
    """Firehose without a network, which accepts everything."""

    def put_record_batch(self, *, Records: Sequence[Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - Firehose's name
        return {"FailedPutCount": 0, "RequestResponses": [{"RecordId": "r"} for _ in Records]}


class Issuer:
    """An issuer whose keys are in their own address, and one user's ID token."""

    def __init__(self) -> None:
        key = generate_private_key(65537, 2048)
        public = {
            **jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
            "kid": "k",
            "alg": "RS256",
        }
        keys = base64.b64encode(json.dumps({"keys": [public]}).encode()).decode()
        self.keys = f"data:application/json;base64,{keys}"
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "subject-1",
            "iat": now,
            "auth_time": now,
            "exp": now + 86_400,
        }
        self.token = jwt.encode({**claims, "cognito:groups": ["customers"]}, key, "RS256", {"kid": "k"})


def served(answer: _Answer) -> FastAPI:
    """Return FastAPI with one route: the same request, the same kind of answer, nothing around it."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest) -> dict[str, Any]:
        message = {"role": "assistant", "content": await answer(body)}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    return app


def bare() -> FastAPI:
    """Return LangChain's agent with nothing around it."""
    return served(_asking(create_agent(Model(), [look_up])))


def guarded(*, authorized: bool) -> FastAPI:
    """Return LangChain's agent with guardrails, and with authorization, as anyone's application may use them."""
    from fmops.guardrails import GuardedChatModel, GuardrailMiddleware

    engine = _engine()
    middleware: list[Any] = [GuardrailMiddleware(engine), *([_authorization()] if authorized else [])]
    model = GuardedChatModel(model=Model(), engine=engine)
    agent = create_agent(model, [look_up], middleware=middleware, context_schema=Context)
    return served(_asking(agent, Context))


def conversing() -> FastAPI:
    """Return the assistant's own conversation: its agent, streaming, limits, and a record of each answer."""
    from fmops.identity.tokens import Principal

    conversation = _conversation(_engine(), _sink(), _pseudonyms())
    principal = Principal("subject-1", "carla", frozenset({"customers"}), False, "token", {})

    async def answer(body: ChatRequest) -> str:
        interaction = conversation.begin(principal, body.session, streamed=False)
        async with aclosing(conversation.answer(principal, body.messages, interaction)) as pieces:
            return await pieces.text()

    return served(answer)


def rails(issuer: Issuer, stop: Callable[[], None]) -> FastAPI:
    """Return the assistant's own application: three detectors and secrets, authorization, capture, telemetry."""
    from fmops.assistant.service import create_app
    from fmops.identity.tokens import TokenVerifier

    engine, sink, pseudonyms = _engine(), _sink(), _pseudonyms()
    verifier = TokenVerifier(issuer=ISSUER, audience=AUDIENCE, jwks_url=issuer.keys)
    return create_app(
        conversation=_conversation(engine, sink, pseudonyms),
        guardrails=engine,
        sink=sink,
        verifier=verifier,
        pseudonyms=pseudonyms,
        warm_up=[verifier.keys.refresh],
        on_stop=[stop],
    )


def application(kind: str, endpoint: str, issuer: Issuer) -> FastAPI:
    """Return the application of this kind. Telemetry begins first, since it instruments what is made after it."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if kind != "bare":
        # LangSmith's tracing of middleware asks threads in vain, which the assistant's telemetry spares each layer.
        langsmith.set_runtime_overrides(aio_to_thread=_at_once)
    if kind in ("telemetry", "rails"):
        from fmops.telemetry.setup import start

        stop = start()
        return rails(issuer, stop) if kind == "rails" else conversing()
    if kind == "conversation":
        return conversing()
    return bare() if kind == "bare" else guarded(authorized=kind == "authorization")


def _asking(agent: Any, context: Callable[[], Any] = lambda: None) -> _Answer:
    async def answer(body: ChatRequest) -> str:
        given = {"messages": [HumanMessage(body.messages[-1].text)]}
        return str((await agent.ainvoke(given, context=context()))["messages"][-1].text)

    return answer


def _engine() -> Any:
    from checks.bench.guardrails import Instant
    from fmops.guardrails import GuardrailSettings, build_engine
    from fmops.guardrails.metrics import observe_guardrails
    from fmops.toolkit.context import record_outcome

    instant = {"kind": f"{Instant.__module__}:{Instant.__name__}"}
    settings = GuardrailSettings.model_validate(
        {"detectors": {"pii": instant, "toxicity": instant, "checks": instant}}
    )
    session = boto3.Session(region_name="us-east-1")
    return build_engine(settings, session, observers=[record_outcome, observe_guardrails])


def _authorization() -> Any:
    from fmops.authorization import AuthorizationMiddleware, Authorizer

    return AuthorizationMiddleware(Authorizer(Store(), "ps"), resolve, principals=lambda _: {"me"})


def _sink() -> Any:
    from fmops.capture import FirehoseSink, Spool

    return FirehoseSink(Stream(), "bench", Spool(Path(tempfile.mkdtemp())))


def _pseudonyms() -> Any:
    from fmops.identity.tokens import Pseudonyms

    return Pseudonyms("a key of sixteen characters")


def _conversation(engine: Any, sink: Any, pseudonyms: Any) -> Any:
    from fmops.conversation.agent import build_agent
    from fmops.conversation.conversation import Conversation
    from fmops.conversation.recording import RecordingMiddleware

    agent = build_agent(
        model=Model(measured=True),
        tools=[look_up],
        guardrails=engine,
        authorization=_authorization(),
        recording=RecordingMiddleware(),
    )
    return Conversation(
        agent=agent,
        guardrails=engine,
        embeddings=DeterministicFakeEmbedding(size=8),
        embedding_model_id="fake",
        sink=sink,
        pseudonyms=pseudonyms,
        model_id="simulated",
        service="assistant",
        environment="bench",
    )


def main() -> None:
    _, kind, port, otlp = sys.argv
    issuer = Issuer()
    app = application(kind, otlp, issuer)
    app.get("/cpu")(lambda: time.process_time())
    app.get("/token")(lambda: issuer.token)
    # As the assistant's own server does; the bare agent gains by it too.
    gc.collect()
    gc.freeze()
    # The other contenders have their turns meanwhile, so connections stay open.
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False, timeout_keep_alive=300)


if __name__ == "__main__":
    main()
