"""Who asks: the dependency of every route that needs to know."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from fmops.identity.tokens import Principal, Verifier


async def caller(request: Request) -> Principal:
    """The holder of the request's token; ``AuthenticationError`` without a good one.

    ``Admission`` has checked it before the body was read; routes in an application without it check here.
    """
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        verifier: Verifier = request.app.state.verifier
        principal = await asyncio.to_thread(verifier.verify, request.headers.get("authorization"))
    return principal


Caller = Annotated[Principal, Depends(caller)]
