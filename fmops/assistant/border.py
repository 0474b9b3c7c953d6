"""What every request body passes before anything reads it: halves of surrogate pairs are mended, in keys and values."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

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
            # Of another encoding, with a number of too many digits, or nested too deeply: FastAPI knows this error alone.
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
