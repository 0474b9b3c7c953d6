"""The HTTP route of the chat: an answer at once or as a stream, which ends when its client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from fmops.assistant.caller import Caller
from fmops.assistant.http_errors import INTERACTION_HEADER, body_of, failed, failure_of
from fmops.assistant.openapi import OF_ANSWERS, answers
from fmops.assistant.openapi_models import ChatCompletion, Models
from fmops.conversation.answering import Answer, Cut, cut_by
from fmops.conversation.citations import citations
from fmops.conversation.conversation import Conversation
from fmops.conversation.failures import Failure
from fmops.conversation.wire import MODEL, ChatRequest, chunk, completion, error, usage_chunk
from fmops.interaction import Interaction

CHAT = "/v1/chat/completions"
CLIENT_LEFT = 499
"""Status of an answer that no one receives, as proxies log it."""

_NO_MODEL = Failure(
    404, "model_not_found", "There is no such model: name the one that `GET /v1/models` lists."
)
_STREAM = {"text/event-stream": {"schema": {"$ref": "#/components/schemas/ChatChunk"}}}


def add_chat_routes(app: FastAPI, conversation: Conversation) -> None:
    """Add the routes that answer a chat and list the available model."""

    @app.get("/v1/models", **answers(Models))
    async def models(_: Caller) -> dict[str, Any]:
        """List the one model that clients may name."""
        return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "fmops"}]}

    @app.post(CHAT, **answers(ChatCompletion, _NO_MODEL, *OF_ANSWERS, content=_STREAM))
    async def chat(request: Request, body: ChatRequest, principal: Caller) -> Response:
        """Answer the last message of the user, at once or as a stream of events.

        Of OpenAI's parameters, those that only tune the model are ignored, and those whose effect a client would
        miss are refused. The header `x-interaction-id` names the answer's record.
        """
        if body.model != MODEL:
            message = f"There is no such model here; the assistant's model is {MODEL!r}."
            return JSONResponse(
                error(message, "invalid_request_error", code="model_not_found", param="model"), 404
            )
        interaction = conversation.begin(principal, body.session, streamed=body.stream)
        headers = {INTERACTION_HEADER: interaction.interaction_id, "cache-control": "no-store"}
        limit = body.max_tokens
        # Before the first byte of an answer, since the status of a stream cannot change once it has begun.
        admitted = await conversation.admit(principal, body.messages, interaction, max_tokens=limit)
        if admitted.spending is not None:
            headers |= admitted.spending.headers()
        answer = conversation.answer(
            principal, body.messages, interaction, max_tokens=limit, admitted=admitted
        )
        if body.stream:
            events = _events(interaction, answer, include_usage=body.include_usage)
            return AnswerStream(answer, events, headers)
        try:
            text = await _unless_left(request, answer)
        except Exception as failure:  # noqa: BLE001 - reported with the interaction's id
            return failed(failure_of(failure, logged=True), interaction)
        if text is None:
            return Response(status_code=CLIENT_LEFT)
        return JSONResponse(completion(interaction, text), headers=headers)


class AnswerStream(StreamingResponse):
    """A streamed answer that is closed however the response ends, even before it began."""

    def __init__(self, answer: Answer, events: AsyncIterator[str], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = Cut.CLIENT
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError as cancelled:
            why = cut_by(cancelled)
            raise
        finally:
            await self._answer.aclose(why)


async def _unless_left(request: Request, answer: Answer) -> str | None:
    """Return the whole answer; None if its client has left, which ends the answer."""
    async with aclosing(answer):
        text = asyncio.ensure_future(answer.text())
        left = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((text, left), return_when=asyncio.FIRST_COMPLETED)
            return await text if text.done() else None
        except asyncio.CancelledError as cancelled:
            await answer.aclose(cut_by(cancelled))
            raise
        finally:
            left.cancel()
            text.cancel()
            await asyncio.gather(left, text, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(interaction: Interaction, answer: Answer, *, include_usage: bool) -> AsyncIterator[str]:
    yield _event(chunk(interaction, {"role": "assistant", "content": ""}, usage_follows=include_usage))
    said: list[str] = []
    try:
        async for piece in answer:
            said.append(piece)
            yield _event(chunk(interaction, {"content": piece}, usage_follows=include_usage))
        if cited := citations(interaction, "".join(said)):
            yield _event(chunk(interaction, {"annotations": cited}, usage_follows=include_usage))
        yield _event(chunk(interaction, {}, interaction.finish_reason, usage_follows=include_usage))
        if include_usage:
            yield _event(usage_chunk(interaction))
    except Exception as failure:  # noqa: BLE001 - the stream has begun: its end is the only place to say it
        yield _event(body_of(failure_of(failure, logged=True), interaction))
    yield "data: [DONE]\n\n"


def _event(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n"
