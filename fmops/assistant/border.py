"""Request bodies without surrogate halves, which UTF-8 cannot carry."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from fmops.surrogates import mended


class MendedRoute(APIRoute):
    """A route whose JSON bodies hold only text that UTF-8 can carry."""

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
            # Raised for another encoding, a number with too many digits and excessive nesting: FastAPI
            # handles
            # only this error.
            raise json.JSONDecodeError("not JSON", "", 0) from error
