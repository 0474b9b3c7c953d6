"""The graph of the runtime's packages, drawn as a Mermaid diagram: ``python -m checks.packages``.

Writes the diagram between the marks of docs/design/packages.md. An arrow leads from a package to one that it imports;
arrows that
follow from others are left out.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design" / "packages.md"
MARKS = re.compile(r"(?<=<!-- packages -->\n).*?(?=<!-- end -->)", re.DOTALL)

Graph = Mapping[str, set[str]]


def packages(root: str = "fmops") -> dict[str, set[str]]:
    """Return the packages and modules directly below ``root``, each with those of them that it imports."""
    graph = grimp.build_graph(root, cache_dir=None)
    for child in graph.find_children(root):
        if graph.find_children(child):
            graph.squash_module(child)
    names = {child.removeprefix(f"{root}."): child for child in graph.find_children(root)}
    return {
        name: {
            other
            for other, imported in names.items()
            if other != name and graph.direct_import_exists(importer=child, imported=imported)
        }
        for name, child in sorted(names.items())
    }


def circles(graph: Graph) -> list[tuple[str, str]]:
    """Return the pairs of packages that import each other, directly or through others."""
    reach = {name: _reached(graph, name) for name in graph}
    return sorted((a, b) for a in graph for b in reach[a] if a < b and a in reach[b])


def reduced(graph: Graph) -> dict[str, set[str]]:
    """Return the graph without the arrows that follow from others."""
    return {
        name: {
            each
            for each in below
            if not any(each in _reached(graph, other) for other in below if other not in (each, name))
        }
        for name, below in graph.items()
    }


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def helpers() -> set[str]:
    """Return the modules of the lowest floor in pyproject.toml, which know nothing of the project."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = (each["layers"] for each in contracts if each["id"] == "floors")
    return {name.strip() for name in floors[-1].split(":")}


def diagram(graph: Graph, left_out: Collection[str] = ()) -> str:
    """Return the graph in Mermaid's language, as a fenced block, without arrows to ``left_out``."""
    drawn = {name: below - set(left_out) for name, below in graph.items() if name not in left_out}
    arrows = [f"    {name} --> {each}" for name, below in reduced(drawn).items() for each in sorted(below)]
    found = circles(graph)
    count = f"{len(graph)} packages and modules, {sum(map(len, graph.values()))} imports between them, "
    lines = ["```mermaid", "flowchart TD", *arrows, "```", "", f"{count}{len(found)} circles."]
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Write the page. With ``--check``, return 1 when it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m checks.packages", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail when the page is out of date"
    )
    check = parser.parse_args().check
    page = PAGE.read_text()
    drawn = MARKS.sub(lambda _: diagram(packages(), helpers()), page)
    if check and drawn != page:
        sys.stderr.write(f"{PAGE.name} is out of date: run python -m checks.packages\n")
        return 1
    if not check:
        PAGE.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
