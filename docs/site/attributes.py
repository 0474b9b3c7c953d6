"""Griffe extension: shows the attributes of a class or module as one table, with types that it infers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe

Owner = griffe.Module | griffe.Class
LONGEST_VALUE = 100


class AttributeTables(griffe.Extension):
    """Add a section `Attributes:` to docstrings, in place of a heading for each attribute."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add the tables of a package, then leave out what they show."""
        owners = list(classes_and_modules(pkg))
        for owner in owners:
            if rows := [row(each) for each in public_attributes(owner)]:
                owner.docstring = owner.docstring or griffe.Docstring("", parent=owner)
                owner.docstring.parsed.append(griffe.DocstringSectionAttributes(rows))
        for owner in owners:
            for name in [each.name for each in public_attributes(owner) if each.name in owner.members]:
                owner.del_member(name)


def classes_and_modules(owner: Owner) -> Iterator[Owner]:
    """Yield a module or class and everything in it that can have attributes."""
    yield owner
    for each in owner.members.values():
        if not each.is_alias and isinstance(each, griffe.Module | griffe.Class):
            yield from classes_and_modules(each)


def public_attributes(owner: Owner) -> list[Any]:
    """Return the attributes that a reader may use, those of base classes included."""
    members = owner.all_members if owner.is_class else owner.members
    return [
        each
        for name, each in members.items()
        if not name.startswith("_") and (not each.is_alias or each.inherited or each.is_exported)
        if each.is_attribute and "property" not in each.labels
    ]


def row(attribute: Any) -> griffe.DocstringAttribute:
    """Return an attribute's line of the table, with its value where that is a plain one."""
    annotation = attribute.annotation or assigned_type(attribute.parent, attribute.value)
    parts = [" ".join(attribute.docstring.value.split())] if attribute.docstring else []
    if annotation is attribute.annotation and is_plain(attribute):
        parts.append(f"`{attribute.value}`")
    return griffe.DocstringAttribute(attribute.name, annotation=annotation, description=" ".join(parts))


def is_plain(attribute: Any) -> bool:
    """Tell whether an attribute has a value worth showing: a short one, which is no call that its type
    explains.
    """
    value = attribute.value
    if value is None or len(str(value)) > LONGEST_VALUE:
        return False
    return not (attribute.annotation and isinstance(value, griffe.ExprCall))


def assigned_type(owner: Any, value: Any) -> Any:
    """Return the type of a parameter, of what a method returns, or of the class that is called; else none."""
    if not owner.is_class:
        return None
    if isinstance(value, griffe.ExprName):
        return next((each.annotation for each in owner.parameters if each.name == value.name), None)
    if not isinstance(value, griffe.ExprCall):
        return None
    if str(value.function).startswith("self."):
        called = owner.functions.get(str(value.function).removeprefix("self."))
        return called.returns if called else None
    return value.function if str(value.function).rpartition(".")[2][:1].isupper() else None
