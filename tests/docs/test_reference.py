"""The API reference has every public construct, and their docstrings are complete."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
from constructs import Construct

ROOT = Path(__file__).parents[2]
MODULES = sorted(file.stem for file in (ROOT / "constructs").glob("*.py"))
PAGES = {page: page.read_text() for page in sorted((ROOT / "docs/api").rglob("*.md"))}
ARGUMENT = re.compile(r"^    (?P<name>\w+): \S", re.MULTILINE)


def public_constructs() -> dict[str, type[Construct]]:
    """Return the constructs by name, without those that are only there for others to derive from."""
    found = [
        value
        for module in MODULES
        for value in vars(importlib.import_module(f"constructs.{module}")).values()
        if inspect.isclass(value)
        and issubclass(value, Construct)
        and value.__module__ == f"constructs.{module}"
    ]
    bases = {base for each in found for base in each.__bases__}
    return {each.__name__: each for each in found if each not in bases}


CONSTRUCTS = public_constructs()


def undocumented(construct: type[Construct]) -> list[str]:
    """Return arguments that are only in `__init__` or only under `Args:`, and members without a docstring."""
    _, _, documented = (inspect.getdoc(construct) or "").partition("Args:\n")
    taken = {
        each.name
        for each in inspect.signature(construct.__init__).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    members = [
        name
        for each in construct.__mro__
        if each.__module__.removeprefix("constructs.") in MODULES
        for name, member in vars(each).items()
        if not name.startswith("_") and (isinstance(member, property) or inspect.isfunction(member))
        if not inspect.getdoc(member)
    ]
    return sorted(taken ^ set(ARGUMENT.findall(documented))) + members


@pytest.mark.parametrize("name", sorted(CONSTRUCTS))
def test_every_argument_and_member_of_a_construct_is_documented(name: str) -> None:
    assert undocumented(CONSTRUCTS[name]) == []


@pytest.mark.parametrize("name", sorted(CONSTRUCTS))
def test_every_construct_has_a_place_in_the_reference_that_its_example_links_to(name: str) -> None:
    directive = f"## {name}\n\n::: {CONSTRUCTS[name].__module__}.{name}\n"
    (page,) = [page for page, text in PAGES.items() if directive in text]
    readme = (ROOT / "constructs/README.md").read_text()
    (section,) = re.findall(rf"^## {name}\n(?:(?!^## ).*\n)*", readme, re.MULTILINE)
    link = f"[Arguments and attributes](../{page.relative_to(ROOT)}#{name.lower()})\n\n```python\n"
    assert link in section
    assert f"[{name}](#{name.lower()})" in readme.partition("## AgentFunction")[0]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_of_constructs_is_in_the_reference(module: str) -> None:
    assert any(re.search(rf"^::: constructs\.{module}\b", text, re.MULTILINE) for text in PAGES.values())


class Documented(Construct):
    """A construct.

    Args:
        size: Length of its side,
            in metres.
    """

    def __init__(self, scope: Construct, id: str, *, size: int = 3) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id)


class Undocumented(Construct):
    """A construct.

    Args:
        length: which it does not take.
    """

    def __init__(self, scope: Construct, id: str, *, size: int) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id)


def test_arguments_are_compared_in_both_directions() -> None:
    assert undocumented(Documented) == []
    assert undocumented(Undocumented) == ["length", "size"]
