"""The caller: the dependency of every route that needs to know who asks."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from fmops.identity.tokens import Principal, Verifier


async def caller(request: Request) -> Principal:
    """Return the holder of the request's token. Raises ``AuthenticationError`` without a valid one.

    ``Admission`` checked it before the body was read; in an application without ``Admission``, this checks it.
    """
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        verifier: Verifier = request.app.state.verifier
        principal = await asyncio.to_thread(verifier.verify, request.headers.get("authorization"))
    return principal


Caller = Annotated[Principal, Depends(caller)]
