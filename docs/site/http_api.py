"""Write the generated parts of docs/http-api.md: ``python -m docs.site.http_api``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from docs.site.generated import update
from fmops.assistant.approvals import Approvals
from fmops.assistant.document_routes import add_document_routes
from fmops.assistant.draft_desk import DraftDesk
from fmops.assistant.home_routes import add_home_routes
from fmops.assistant.playground import Playground
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.service import create_app
from fmops.assistant.why_routes import add_why_routes
from fmops.conversation.chat_request import _UNSUPPORTED, IGNORED, SUPPORTED
from fmops.conversation.services import EMBEDDING, MODEL, SERVICES, UNKNOWN

PAGE = Path(__file__).parents[1] / "http-api.md"


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of an assistant with all of its routes, whose parts nobody calls."""
    part: Any = object()
    app = create_app(
        conversation=part,
        guardrails=part,
        sink=part,
        verifier=part,
        pseudonyms=part,
        approvals=Approvals.__new__(Approvals),
        review=ReviewDesk.__new__(ReviewDesk),
        drafting=DraftDesk.__new__(DraftDesk),
        playground=Playground.__new__(Playground),
        routes=[
            lambda app: add_document_routes(app, [], part),
            lambda app: add_home_routes(app, part),
            lambda app: add_why_routes(app, part),
        ],
    )
    return app.openapi()


def routes(described: dict[str, Any]) -> str:
    """Return the table of the routes, by tag."""
    lines = ["| route | what it does | its own errors |", "|---|---|---|"]
    operations = [
        (operation["tags"][0], path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    for tag in described["tags"]:
        lines.append(f"| **{tag['name']}** | {tag['description']} | |")
        lines += [
            f"| `{method.upper()} {path}` | {operation['summary']} | {_errors(operation)} |"
            for name, path, method, operation in operations
            if name == tag["name"]
        ]
    return "\n".join(lines)


def everywhere(described: dict[str, Any]) -> str:
    """Return the table of the errors that a route with a body shares with the others."""
    lines = ["| status | code | message |", "|---|---|---|"]
    lines += [
        f"| {status} | `{code}` | {words} |"
        for status, code, words in _codes(described["paths"]["/v1/approvals/{approval_id}"]["post"])
        if (status, code) in _shared(described)
    ]
    return "\n".join(lines)


def parameters() -> str:
    """Return the table of OpenAI's parameters."""
    rows = {
        **{name: ("supported", words) for name, words in SUPPORTED.items()},
        **{name: ("ignored", words) for name, words in IGNORED.items()},
        **{name: ("refused", remedy) for name, (_, remedy) in _UNSUPPORTED.items()},
    }
    lines = ["| parameter | here | meaning, reason or the refusal's sentence |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {how} | {words} |" for name, (how, words) in rows.items())])


def services() -> str:
    """Return the list of the services that errors name."""
    codes = dict.fromkeys(each.code for each in (MODEL, EMBEDDING, *SERVICES.values(), UNKNOWN))
    return "`<service>` is one of " + ", ".join(f"`{code}`" for code in codes) + "."


def parts() -> dict[str, str]:
    """Return the generated parts by name."""
    described = document()
    return {
        "routes": routes(described),
        "errors": everywhere(described),
        "services": services(),
        "parameters": parameters(),
    }


def _codes(operation: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (status, code, words)
        for status, response in sorted(operation["responses"].items())
        for code, words in re.findall(r"^- `([^`]+)`: (.*)$", response["description"], re.MULTILINE)
    ]


def _shared(described: dict[str, Any]) -> set[tuple[str, str]]:
    """Return status and code of the errors of any route with a body."""
    with_body = [
        {(status, code) for status, code, _ in _codes(operation)}
        for path, methods in described["paths"].items()
        for operation in methods.values()
        if path.startswith("/v1/") and "requestBody" in operation
    ]
    return set.intersection(*with_body)


def _errors(operation: dict[str, Any]) -> str:
    own = [(status, code) for status, code, _ in _codes(operation) if (status, code) not in _COMMON]
    return ", ".join(f"{status} `{code}`" for status, code in own)


_COMMON = _shared(document())

if __name__ == "__main__":
    update(PAGE, parts())
