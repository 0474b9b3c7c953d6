"""The calls of an ordinary request are those of the table by which `make scale` computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.scale.calls import COUNTED, measure, questions
from ops.scale.quotas import read

PORTS = 24200


@pytest.mark.rehearsal
def test_an_ordinary_request_makes_the_calls_of_the_table(tmp_path: Path) -> None:
    """Remedy of a difference: put what ``python -m checks.scale.calls`` prints into ops/scale/quotas.toml."""
    table = {
        name: count for name, count in read().ordinary.calls.items() if name.partition(":")[0] in COUNTED
    }
    found = {name: round(count, 2) for name, count in measure("dev", PORTS, tmp_path).calls.items()}
    assert found == pytest.approx(table, abs=0.02)


def test_questions_differ() -> None:
    assert len(set(questions())) == len(questions()) > 10
