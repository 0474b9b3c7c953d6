"""The picture of the runtime's packages: its arrows, and the circles that it counts."""

from __future__ import annotations

from checks.packages import circles, diagram, packages, reduced

GRAPH = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"a"}}


def test_arrows_that_follow_from_others_are_left_out() -> None:
    assert reduced(GRAPH) == {"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}}


def test_a_circle_is_found_however_long_it_is() -> None:
    assert circles(GRAPH) == []
    assert circles({**GRAPH, "c": {"d"}}) == [
        ("a", "b"),
        ("a", "c"),
        ("a", "d"),
        ("b", "c"),
        ("b", "d"),
        ("c", "d"),
    ]


def test_the_runtime_has_no_circle() -> None:
    graph = packages()
    assert {"guardrails", "telemetry", "conversation", "agent"} <= graph.keys()
    assert circles(graph) == []
    assert diagram(graph).count("-->") <= sum(map(len, graph.values()))
