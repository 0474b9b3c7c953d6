"""An agent behind an HTTP server, bare or with all rails: ``python -m checks.bench.rails_peers
bare|rails PORT OTLP_ENDPOINT``.

Detectors, policy store, delivery stream and model answer at once, without a network: our own time is measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from checks.bench.authorization import Store, look_up, resolve
from fmops.conversation.wire import ChatRequest

USAGE: Any = {"input_tokens": 84, "output_tokens": 14, "total_tokens": 98}


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


class Verifier:
    """A verifier that accepts every token."""

    def verify(self, _: str | None) -> Any:
        from fmops.identity.tokens import Principal

        return Principal("subject-1", "carla", frozenset({"customers"}), False, "token", {})


def bare() -> FastAPI:
    """Return LangChain's agent behind FastAPI: the same request, the same kind of answer, nothing around it."""
    app = FastAPI()
    agent = create_agent(Model(), [look_up])

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest) -> dict[str, Any]:
        answer = await agent.ainvoke({"messages": [HumanMessage(body.messages[-1].text)]})
        message = {"role": "assistant", "content": answer["messages"][-1].text}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    return app


def rails(endpoint: str) -> FastAPI:
    """Return the assistant's own application: three detectors and secrets, authorization, capture,
    telemetry.
    """
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    from checks.bench.guardrails import Instant
    from fmops.assistant.service import create_app
    from fmops.authorization import AuthorizationMiddleware, Authorizer
    from fmops.capture import FirehoseSink, Spool
    from fmops.conversation.agent import build_agent
    from fmops.conversation.conversation import Conversation
    from fmops.conversation.recording import RecordingMiddleware
    from fmops.guardrails import GuardrailSettings, build_engine
    from fmops.guardrails.metrics import observe_guardrails
    from fmops.identity.tokens import Pseudonyms
    from fmops.telemetry.setup import start
    from fmops.toolkit.context import record_outcome

    stop = start()
    instant = {"kind": f"{Instant.__module__}:{Instant.__name__}"}
    settings = GuardrailSettings.model_validate(
        {"detectors": {"pii": instant, "toxicity": instant, "checks": instant}}
    )
    engine = build_engine(
        settings, boto3.Session(region_name="us-east-1"), observers=[record_outcome, observe_guardrails]
    )
    sink = FirehoseSink(Stream(), "bench", Spool(Path(tempfile.mkdtemp())))
    pseudonyms = Pseudonyms("a key of sixteen characters")
    agent = build_agent(
        model=Model(measured=True),
        tools=[look_up],
        guardrails=engine,
        authorization=AuthorizationMiddleware(
            Authorizer(Store(), "ps"), resolve, principals=lambda _: {"me"}
        ),
        recording=RecordingMiddleware(),
    )
    conversation = Conversation(
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
    return create_app(
        conversation=conversation,
        guardrails=engine,
        sink=sink,
        verifier=Verifier(),  # type: ignore[arg-type]
        pseudonyms=pseudonyms,
        on_stop=[stop],
    )


def cpu() -> float:
    """Return the CPU seconds of this process."""
    return time.process_time()


if __name__ == "__main__":
    _, name, port, otlp = sys.argv
    application = bare() if name == "bare" else rails(otlp)
    application.get("/cpu")(cpu)
    # The other contender has its turn meanwhile, so connections stay open.
    uvicorn.run(application, port=int(port), log_level="warning", access_log=False, timeout_keep_alive=300)
