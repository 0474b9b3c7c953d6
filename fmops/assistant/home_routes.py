"""The HTTP routes of the home page."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

from fmops.assistant.caller import Caller
from fmops.assistant.home import Home
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Address, Cards
from fmops.assistant.route_errors import HomeNotPermittedError, ReportNotFoundError

NO_STORE = {"cache-control": "no-store"}
SVG = {"image/svg+xml": {"schema": {"type": "string"}}}


def add_home_routes(app: FastAPI, home: Home) -> None:
    """Add the routes of the cards, of the last report's plot, and of addresses that open elsewhere."""

    @app.get("/v1/home", **answers(Cards))
    async def cards(principal: Caller) -> dict[str, Any]:
        """Show the cards that the policies permit the caller, with how each stands."""
        return {"cards": await home.shown(principal)}

    @app.get(
        "/v1/home/plot",
        response_class=Response,
        **answers(None, HomeNotPermittedError, ReportNotFoundError, content=SVG),
    )
    def plot(principal: Caller) -> Response:
        """Return the plot of the last drift report."""
        drawn = home.plot(principal)
        if not drawn:
            raise ReportNotFoundError
        return Response(drawn, media_type="image/svg+xml", headers=NO_STORE)

    # Each is made when it is asked for, since it is good for minutes only and opens without a token.
    @app.post("/v1/home/mlflow", **answers(Address, HomeNotPermittedError))
    def mlflow(principal: Caller, response: Response) -> dict[str, str]:
        """Make an address of MLflow, good for one visit."""
        response.headers.update(NO_STORE)
        return {"url": home.mlflow_address(principal)}

    @app.post("/v1/home/report", **answers(Address, HomeNotPermittedError))
    def report(principal: Caller, response: Response) -> dict[str, str]:
        """Make an address of the last drift report, which quotes people."""
        response.headers.update(NO_STORE)
        return {"url": home.report_address(principal)}
