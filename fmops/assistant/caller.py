"""Who asks: the dependency of every route that needs to know."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from fmops.assistant.identity import Principal, TokenVerifier


def caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> Principal:
    """The holder of the request's token; ``AuthenticationError`` without a good one."""
    verifier: TokenVerifier = request.app.state.verifier
    return verifier.verify(authorization)


Caller = Annotated[Principal, Depends(caller)]
