"""Writes the tables of README.md from signatures and docstrings, so that they say the same: `python -m constructs.reference`."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from constructs import Construct

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
TABLES = re.compile(r"^## (?P<name>\w+)\n(?:(?!^## ).*\n)*?<!-- tables -->\n(?P<tables>(?:(?!^## ).*\n)*?)<!-- end -->\n", re.MULTILINE)  # fmt: skip
ARGUMENT = re.compile(r"^    (?P<name>\w+): (?P<meaning>.*(?:\n {6,}.*)*)", re.MULTILINE)


class UndocumentedError(ValueError):
    """Something public has no words to its name; the message says what is missing, and where."""


def public_constructs() -> dict[str, type[Construct]]:
    """The constructs of this folder by name, without those that are only there for others to derive from."""
    found = [
        value
        for file in sorted(FOLDER.glob("*.py"))
        for value in vars(importlib.import_module(f"constructs.{file.stem}")).values()
        if inspect.isclass(value)
        and issubclass(value, Construct)
        and value.__module__ == f"constructs.{file.stem}"
    ]
    bases = {base for each in found for base in each.__bases__}
    return {each.__name__: each for each in found if each not in bases}


def write_tables(text: str, constructs: Mapping[str, type[Construct]]) -> str:
    """The README's text with the tables of each section `## <Construct>` written anew, between `<!-- tables -->` and `<!-- end -->`."""

    def section(found: re.Match[str]) -> str:
        before, _, rest = found[0].rpartition("<!-- tables -->\n" + found["tables"])
        return f"{before}<!-- tables -->\n{tables(constructs[found['name']])}{rest}"

    return TABLES.sub(section, text)


def tables(construct: type[Construct]) -> str:
    """What a construct takes, the required first, and what it offers."""
    offered = [f"| `{name}` | {meaning} |" for name, meaning in _offered(construct)]
    lines = ["| Argument | Type | Default | Meaning |", "|---|---|---|---|", *_arguments(construct)]
    if offered:
        lines += ["", "| Offers | |", "|---|---|", *offered]
    return "".join(f"{line}\n" for line in lines)


def _arguments(construct: type[Construct]) -> list[str]:
    _, _, documented = (inspect.getdoc(construct) or "").partition("Args:\n")
    meanings = {found["name"]: " ".join(found["meaning"].split()) for found in ARGUMENT.finditer(documented)}
    parameters = [
        each
        for each in inspect.signature(construct.__init__).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    names = {each.name for each in parameters}
    if missing := sorted(names ^ meanings.keys()):
        raise UndocumentedError(
            f"{construct.__name__}: {', '.join(missing)} must be both in __init__ and under Args: of the class."
        )
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    return [
        f"| `{each.name}` | `{_type(each.annotation)}` | {_default(each.default)} | {_cell(meanings[each.name])} |"
        for each in parameters
    ]


def _type(annotation: Any) -> str:
    """As one writes it under the usual imports: `ec2.IVpc`, not `aws_cdk.aws_ec2.IVpc`."""
    text = inspect.formatannotation(annotation).replace("aws_cdk.aws_", "")
    return _cell(
        _quoted(re.sub(r"\b(?:aws_cdk|constructs|collections|pathlib|typing)\.(?:\w+\.)*", "", text))
    )


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, Path):
        return f"`{value.relative_to(FOLDER.parent)}`"
    return f"`{_cell(_quoted(repr(value)))}`"


def _offered(construct: type[Construct]) -> Iterator[tuple[str, str]]:
    """Attributes with their types, then properties and methods with what they say of themselves."""
    classes = [each for each in construct.__mro__ if each.__module__.startswith("constructs.")]
    own = [each for each in classes if Path(inspect.getfile(each)).parent == FOLDER]
    attributes: dict[str, str] = {}
    members: dict[str, str] = {}
    for each in reversed(own):
        attributes |= _attributes(each)
        for name, member in vars(each).items():
            if name.startswith("_") or not (isinstance(member, property) or inspect.isfunction(member)):
                continue
            if not (meaning := inspect.getdoc(member)):
                raise UndocumentedError(f"{each.__name__}.{name} has no docstring.")
            shown = f"{name}({_parameters(member)})" if inspect.isfunction(member) else name
            members[shown] = _cell(" ".join(meaning.split()))
    yield from ((name, f"`{_cell(of)}`") for name, of in attributes.items())
    yield from members.items()


def _parameters(method: Any) -> str:
    return ", ".join(list(inspect.signature(method).parameters)[1:])


def _attributes(construct: type[Construct]) -> dict[str, str]:
    """Types of what `__init__` sets: as annotated, or what is called for it."""
    (tree,) = ast.parse(inspect.getsource(construct)).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - the source of a class
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    found: dict[str, str] = {}
    for node in ast.walk(functions["__init__"]):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
                continue
            if isinstance(node, ast.AnnAssign):
                found[target.attr] = ast.unparse(node.annotation)
            elif target.attr not in found:
                found[target.attr] = _made_by(node.value, functions, f"{construct.__name__}.{target.attr}")
    return found


def _made_by(value: ast.expr, functions: Mapping[str, ast.FunctionDef], place: str) -> str:
    arguments = functions["__init__"].args
    if isinstance(value, ast.Name):
        named = {each.arg: each.annotation for each in arguments.kwonlyargs}
        if (annotation := named.get(value.id)) is not None:
            return ast.unparse(annotation)
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func)
        method = functions.get(called.removeprefix("self."))
        if method is not None and method.returns is not None:
            return ast.unparse(method.returns)
        if called.rpartition(".")[2][0].isupper():
            return called
    raise UndocumentedError(f"{place} has no type that can be read: annotate it where __init__ sets it.")


def _quoted(code: str) -> str:
    return code.replace("'", '"')


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(write_tables(README.read_text(), public_constructs()))
