"""MkDocs hook: adds the pages outside of docs/ to the site, and turns links between files into its own
links.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Pages whose place on the site is not their place in docs/.
MOVED = {
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "CHANGELOG.md": "changelog.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    ".github/SECURITY.md": "security-policy.md",
    "constructs/README.md": "constructs.md",
}
SOURCES = {uri: source for source, uri in MOVED.items()}
MERMAID = "@mermaid-js/tiny/dist/mermaid.tiny.js"
FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?:(?<=\]\()|(?<=\]: ))(?P<path>[^)\s#:]+)(?=[)#]|$)", re.MULTILINE)


def on_config(config: MkDocsConfig) -> None:
    """Replace each folder in the navigation by its pages."""
    config.nav = expanded(config.nav)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages from outside of docs/, and the script that draws diagrams."""
    from mkdocs.structure.files import File

    if contents := files.get_file_from_path("README.md"):
        files.remove(contents)
    for source, uri in MOVED.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    script = Path(sys.prefix, "node_modules", MERMAID)
    files.append(File.generated(config, f"assets/{script.name}", abs_src_path=str(script)))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return a page's text with its links as they are on the site."""
    return rewritten(markdown, page.file.src_uri)


def expanded(nav: Any) -> Any:
    """Return a navigation in which each `folder/` is replaced by its pages, the README first."""
    if isinstance(nav, dict):
        return {title: expanded(each) for title, each in nav.items()}
    if isinstance(nav, list):
        return [page for each in map(expanded, nav) for page in (each if isinstance(each, list) else [each])]
    if not nav.endswith("/"):
        return nav
    names = (path.name for path in (ROOT / "docs" / nav).glob("*.md"))
    return [nav + name for name in sorted(names, key=lambda name: (name != "README.md", name))]


def rewritten(markdown: str, uri: str) -> str:
    """Return the text of the page `uri` of the site, with links between files as links between pages."""
    folder = posixpath.dirname(SOURCES.get(uri, f"docs/{uri}"))

    def on_the_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["path"]))
        found = MOVED.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(found, posixpath.dirname(uri) or ".")

    parts = FENCED.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(on_the_site, part) for part in parts)
