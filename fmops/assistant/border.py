"""The border where text comes in: halves of surrogate pairs are mended in every request body, and in what a model says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from fmops.assistant.answering import Pieces
from fmops.guardrails.text import mend


class MendedRoute(APIRoute):
    """A route whose JSON bodies hold nothing that UTF-8 cannot carry."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_MendedRequest(request.scope, request.receive))

        return handle


class _MendedRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            value = json.loads(body)
            return value if body.isascii() and b"\\u" not in body else mended(value)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            # Of another encoding, with a number of too many digits, or nested too deeply: FastAPI knows this
            # error alone.
            raise json.JSONDecodeError("not JSON", "", 0) from error


def mended(value: Any) -> Any:
    """``value``, which JSON gave, without halves of surrogate pairs."""
    match value:
        case str():
            return mend(value)
        case dict():
            return {mend(str(key)): mended(each) for key, each in value.items()}
        case list():
            return [mended(each) for each in value]
        case _:
            return value


async def joined(pieces: Pieces) -> AsyncGenerator[str, None]:
    """The pieces, mended where a model splits a character into two halves, or sends but one."""
    half = ""
    async with aclosing(pieces):
        async for piece in pieces:
            text = half + piece
            half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
            if text := mend(text[: len(text) - len(half)]):
                yield text
    if half:
        yield mend(half)
