"""The pages' shell: its policy, its assets, and what it must not hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fmops.assistant.page_routes import FOLDER, ROUTES, Pages, add_page_routes
from fmops.guardrails.categories import Category, Group

ASSETS = [path for path in (FOLDER / "assets").rglob("*") if path.is_file() and "vendor" not in path.parts]
MARKUP = sorted(FOLDER.glob("*.html"))
NODE_MODULES = Path(__file__).parents[2] / "node_modules"


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    add_page_routes(app, Pages(lambda: ("https://login.example.com",)))
    return TestClient(app)


@pytest.mark.parametrize("path", ["/", *(f"/{route}" for route in ROUTES)])
def test_every_page_is_the_shell_with_a_policy_of_its_own(client: TestClient, path: str) -> None:
    policies = set()
    for _ in range(2):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        nonce = re.fullmatch(r"'nonce-([\w-]{24})'", policy["script-src"])
        assert nonce and policy["style-src"] == policy["script-src"]
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["connect-src"] == "'self' https://login.example.com"
        assert policy["require-trusted-types-for"] == "'script'"
        loaded = re.findall(r"<(?:script|link rel=\"stylesheet\")[^>]*>", answer.text)
        assert len(loaded) >= 4
        assert all(f'nonce="{nonce[1]}"' in each for each in loaded)
        assert "{{" not in answer.text
        policies.add(nonce[1])
    assert len(policies) == 2, "a nonce that is used twice protects nothing"


def test_assets_are_kept_by_browsers_only_at_the_address_of_their_digest(client: TestClient) -> None:
    (address,) = re.findall(r'src="(assets/\w+/shell\.js)"', client.get("/").text)
    kept = client.get(f"/{address}")
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-type"].startswith("text/javascript")
    another_version = client.get("/assets/0123456789abcdef/shell.js")
    assert (another_version.status_code, another_version.headers["cache-control"]) == (200, "no-store")
    for missing in ("nothing.js", "../shell.html", "..%2f..%2fservice.py"):
        assert client.get(f"/assets/x/{missing}").status_code == 404


@pytest.mark.parametrize("file", [*MARKUP, *ASSETS], ids=lambda file: file.name)
def test_no_page_holds_what_its_policy_refuses(file: Path) -> None:
    text = file.read_text("utf-8")
    assert re.findall(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\()", text) == []
    if file.suffix == ".html":
        assert re.findall(r"\son\w+=|\sstyle=", text) == [], "an inline handler or style"


@pytest.mark.parametrize("file", [*MARKUP, *ASSETS], ids=lambda file: file.name)
def test_no_page_has_an_address_from_the_root_of_its_host_or_of_another(file: Path) -> None:
    """Allow no address from the root, which would leave out an API's stage, and nothing loaded from elsewhere."""
    text = file.read_text("utf-8")
    rooted = (
        r"""(?:href|src|action)[=:]\s*["'`]/|(?:fetch|json|api|import)\([`"']/|from ["']/|\.assign\(["'`]/"""
    )
    assert re.findall(rooted, text) == []
    assert re.findall(r"""(?:src=|url\(|import\(|from )\s*["']?https?:""", text) == []


def test_every_page_in_the_shell_has_its_script_and_its_markup() -> None:
    known = re.search(r"const PAGES = \{([^}]*)\}", (FOLDER / "assets" / "shell.js").read_text("utf-8"))
    assert known
    names = set(re.findall(r"(\w+):", known[1]))
    assert names == {"home", *ROUTES} - {"signed-in"}
    for name in names:
        assert (FOLDER / f"{name}.html").exists(), name
        assert (FOLDER / "assets" / f"{name}.js").exists(), name


def test_the_markdown_library_is_the_published_one() -> None:
    pinned = json.loads((NODE_MODULES.parent / "package.json").read_text())["devDependencies"]["marked"]
    published = NODE_MODULES / "marked"
    assert json.loads((published / "package.json").read_text())["version"] == pinned
    vendored = (FOLDER / "assets" / "vendor" / "marked.js").read_text("utf-8")
    original = (published / "lib" / "marked.esm.js").read_text("utf-8")
    assert vendored.strip() == re.sub(r"\n//# sourceMappingURL=.*", "", original).strip()


def test_every_category_that_is_no_personal_detail_has_words_for_people() -> None:
    text = (FOLDER / "assets" / "notices.js").read_text("utf-8")
    table = re.search(r"const FOUND = \{(.*?)\};", text, re.DOTALL)
    assert table
    told = set(re.findall(r"(\w+): \"", table[1]))
    personal = {Group.IDENTIFIERS, Group.CONTACT, Group.ATTRIBUTES}
    assert told - {"blocked"} == {each.value for each in Category if each.group not in personal}
