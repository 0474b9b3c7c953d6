from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guardrails.service import Service, serving


@pytest.fixture(scope="module")
def _server() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture
def service(_server: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    fresh = Service(_server.url)
    _server.__dict__.update(fresh.__dict__)
    monkeypatch.setenv("AWS_ENDPOINT_URL", _server.url)
    yield _server
    _server.over.set()
