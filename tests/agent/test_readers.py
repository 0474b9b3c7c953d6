"""The example agents have readers of every audience, and none of a withdrawn document."""

from __future__ import annotations

import pytest

from fmops.toolkit.knowledge import KnowledgeDocument
from tests.toolkit.test_audiences import DESKS, Desk


@pytest.mark.parametrize("namespace", DESKS)
def test_each_desk_has_readers_of_every_audience(namespace: str) -> None:
    """Without them, the property above would hold for policies that permit nothing."""
    desk = Desk(namespace)
    assert desk.permits([], {}, KnowledgeDocument("d", "T", "t", "public"))
    assert desk.permits(["staff"], {}, KnowledgeDocument("d", "T", "t", "internal"))
    assert not desk.permits([], {}, KnowledgeDocument("d", "T", "t", "internal"))
    assert not desk.permits(["staff"], {}, KnowledgeDocument("withdrawn", "T", "t", "public"))
    north = KnowledgeDocument("d", "T", "t", "internal", "north")
    assert desk.permits(["staff"], {"custom:region": "north"}, north) is (namespace == "ClaimsDesk")
