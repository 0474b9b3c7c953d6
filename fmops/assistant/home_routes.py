"""The HTTP routes of the home page."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

from fmops.assistant.caller import Caller
from fmops.assistant.home import Home

NO_STORE = {"cache-control": "no-store"}


def add_home_routes(app: FastAPI, home: Home) -> None:
    """Add the routes of the cards, of the last report's plot, and of addresses that open elsewhere."""

    @app.get("/v1/home")
    async def cards(principal: Caller) -> dict[str, Any]:
        return {"cards": await home.shown(principal)}

    @app.get("/v1/home/plot")
    def plot(principal: Caller) -> Response:
        drawn = home.plot(principal)
        status = 200 if drawn else 404
        return Response(drawn, status, media_type="image/svg+xml", headers=NO_STORE)

    # Each is made when it is asked for, since it is good for minutes only and opens without a token.
    @app.post("/v1/home/mlflow")
    def mlflow(principal: Caller, response: Response) -> dict[str, str]:
        response.headers.update(NO_STORE)
        return {"url": home.mlflow_address(principal)}

    @app.post("/v1/home/report")
    def report(principal: Caller, response: Response) -> dict[str, str]:
        response.headers.update(NO_STORE)
        return {"url": home.report_address(principal)}
