"""The public route that tells the pages where people sign in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import SignInAddresses
from fmops.identity.sign_in import SignIn

PATH = "/sign-in.json"


def add_sign_in_route(app: FastAPI, sign_in: SignIn) -> None:
    """Add the route, which needs no token, and keep the sign-in in the application's state."""
    app.state.sign_in = sign_in

    @app.get(PATH, **answers(SignInAddresses))
    async def described() -> dict[str, Any]:
        """Say where people sign in, or why they cannot and what to do about it."""
        return sign_in.described()
