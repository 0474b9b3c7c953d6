"""`make bench` runs modules that exist."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from checks.bench.__main__ import modules


@pytest.mark.parametrize("module", modules())
def test_every_benchmark_is_found_by_its_name(module: str) -> None:
    assert find_spec(module) is not None
