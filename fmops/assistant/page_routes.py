"""The pages that people use: one HTML shell for all of them, and the assets that it loads."""

from __future__ import annotations

import hashlib
import html
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from fmops.agent import HINT, TITLE

FOLDER = Path(__file__).with_name("pages")
ROUTES = ("chat", "approvals", "review", "gaps", "playground", "why", "document", "signed-in")
"""Paths below the home page that answer with the shell, which shows the page of its address."""
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain",
}
NO_STORE = {"cache-control": "no-store"}
FOR_A_YEAR = {"cache-control": "public, max-age=31536000, immutable"}


def content_security_policy(nonce: str, connect: Sequence[str] = ()) -> str:
    """Return the policy of a page: only its own scripts and styles run, it sends data to this origin and the
    origins in ``connect`` only, and no text becomes HTML."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "img-src 'self' data: blob:",
            " ".join(["connect-src 'self'", *connect]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


class Pages:
    """The shell with the markup of all pages, and the assets by name.

    ``connect`` returns the origins other than this one that the pages may send data to: those of the sign-in.
    """

    def __init__(self, connect: Callable[[], Sequence[str]] = tuple) -> None:
        self._connect = connect

    def shell(self, route: str) -> Response:
        """Return the shell for a route, with a nonce of its own."""
        nonce = secrets.token_urlsafe(18)
        page = self._markup.replace("{{nonce}}", nonce).replace("{{route}}", html.escape(route))
        policy = content_security_policy(nonce, self._connect())
        return HTMLResponse(page, headers={**NO_STORE, "content-security-policy": policy})

    def asset(self, version: str, name: str) -> Response:
        """Return an asset, which may be kept for a year if its address has this version's digest.

        During a deployment, a page of another version gets this one's assets, which it must not keep.
        """
        found = self._assets.get(name)
        if found is None:
            return Response(status_code=404)
        headers = FOR_A_YEAR if version == self.version else NO_STORE
        return Response(found, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)

    @cached_property
    def version(self) -> str:
        """Digest of all assets, which is part of their addresses."""
        digest = hashlib.sha256()
        for name, content in sorted(self._assets.items()):
            digest.update(name.encode() + b"\0" + content + b"\0")
        return digest.hexdigest()[:16]

    @cached_property
    def _assets(self) -> dict[str, bytes]:
        folder = FOLDER / "assets"
        files = (path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    @cached_property
    def _markup(self) -> str:
        """The shell with everything in its place but what differs between answers."""
        names = sorted(path.stem for path in FOLDER.glob("*.html") if path.stem != "shell")
        templates = [
            f'<template id="page-{name}">\n{(FOLDER / f"{name}.html").read_text("utf-8")}</template>'
            for name in names
        ]
        sheets = sorted(
            (name for name in self._assets if name.endswith(".css")),
            key=lambda name: (name != "base.css", name),
        )
        styles = [
            f'<link rel="stylesheet" nonce="{{{{nonce}}}}" href="assets/{self.version}/{name}">'
            for name in sheets
        ]
        page = (FOLDER / "shell.html").read_text("utf-8")
        for placeholder, words in (
            ("{{templates}}", "\n".join(templates)),
            ("{{styles}}", "\n".join(styles)),
            ("{{version}}", self.version),
            ("{{title}}", html.escape(TITLE)),
            ("{{hint}}", html.escape(HINT)),
        ):
            page = page.replace(placeholder, words)
        return page


def add_page_routes(app: FastAPI, pages: Pages) -> None:
    """Add the home page, the pages below it, and their assets, none of which needs a token."""

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return pages.shell("home")

    for route in ROUTES:
        app.add_api_route(f"/{route}", _shown(pages, route), methods=["GET"], include_in_schema=False)

    @app.get("/assets/{version}/{name:path}", include_in_schema=False)
    async def asset(version: str, name: str) -> Response:
        return pages.asset(version, name)


def _shown(pages: Pages, route: str) -> Callable[[], Awaitable[Response]]:
    async def shown() -> Response:
        return pages.shell(route)

    return shown
