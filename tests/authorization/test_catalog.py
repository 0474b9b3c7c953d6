"""The names of policies are available to whoever needs them, even while they are being listed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from fmops.authorization.catalog import PolicyCatalog


class Store:
    """A policy store with one policy, that does something while it is listed."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None
        self.listed = 0

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        self.listed += 1
        self.meanwhile()
        described = {"static": {"description": "Nobody does anything."}}
        policy = {
            "policyId": "p0",
            "name": "name/forbid-everything",
            "effect": "Forbid",
            "definition": described,
        }
        yield {"policies": [policy]}

    def get_schema(self, **_: Any) -> dict[str, str]:
        return {"schema": "{}"}


def test_who_asks_while_the_first_listing_is_under_way_waits_for_it() -> None:
    store, names = Store(), []
    catalog = PolicyCatalog(store, "ps")
    asking = threading.Event()

    def ask() -> None:
        asking.set()
        names.append(catalog.name("p0"))

    other = threading.Thread(target=ask)

    def meanwhile() -> None:
        other.start()
        asking.wait()

    store.meanwhile = meanwhile
    names.append(catalog.name("p0"))
    other.join()
    assert names == ["forbid-everything"] * 2
    assert store.listed == 1


def test_a_policy_is_explained_by_the_sentence_at_the_top_of_its_file() -> None:
    catalog = PolicyCatalog(Store(), "ps")
    assert catalog.description("forbid-everything") == "", "nothing is known yet"
    catalog.refresh()
    assert catalog.description("forbid-everything") == "Nobody does anything."
    assert catalog.description("unknown") == ""
