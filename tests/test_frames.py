"""The log says where a fault of our own arose, and holds nothing of what was said."""

from __future__ import annotations

import logging
from types import CodeType
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from fmops.assistant.service import CatchAllMiddleware
from fmops.frames import DEEPEST, PACKAGE, where

SECRET = "SECRET-CONTENT-OF-A-PERSON"


def ours(source: str, name: str = "agent/tools.py") -> dict[str, Any]:
    """Run source as if it were a file of the package, and return its names."""
    code: CodeType = compile(source, str(PACKAGE / name), "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def raised(call: Any, *arguments: Any) -> BaseException:
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


LOOK_UP = f"""
def look_up(claim):
    secret = "{SECRET}"
    return {{}}[claim + secret]

def answer(claim):
    try:
        return look_up(claim)
    except KeyError as error:
        raise RuntimeError(claim) from error
"""


def test_the_deepest_place_comes_first_and_no_value_or_source_is_told() -> None:
    places = where(raised(ours(LOOK_UP)["answer"], SECRET))
    assert places == (
        "fmops/agent/tools.py:4 in look_up, fmops/agent/tools.py:8 in answer, fmops/agent/tools.py:10 in answer"
    )


def test_an_error_of_nobody_of_ours_has_no_place() -> None:
    assert where(raised(int, "x")) == "outside of our own code"
    assert where(ValueError(SECRET)) == "outside of our own code"


def test_a_recursion_a_circle_and_a_group_come_to_an_end() -> None:
    deep = raised(ours("def dive(n):\n    return 1 / n if n == 0 else dive(n - 1)")["dive"], 50)
    assert where(deep) == "fmops/agent/tools.py:2 in dive"
    functions = (
        "\n".join(f"def f{n}():\n    return f{n + 1}()" for n in range(30))
        + "\ndef f30():\n    raise ValueError"
    )
    assert where(raised(ours(functions)["f0"])).count(" in ") == DEEPEST
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert where(one) == "outside of our own code"
    group = ExceptionGroup("many", [raised(ours(LOOK_UP)["answer"], "x")])  # type: ignore[list-item]
    assert where(group).startswith("fmops/agent/tools.py:4 in look_up")


def test_the_last_resort_logs_the_place_and_answers_without_it(caplog: pytest.LogCaptureFixture) -> None:
    answer = ours(LOOK_UP)["answer"]

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        answer(SECRET)

    with caplog.at_level(logging.ERROR):
        response = TestClient(CatchAllMiddleware(app)).get("/")
    assert response.status_code == 500
    assert "tools.py" not in response.text
    (line,) = caplog.messages
    assert line.startswith("request failed: RuntimeError at fmops/agent/tools.py:4 in look_up, ")
    assert "fmops/assistant/service.py" in line
    assert SECRET not in caplog.text
