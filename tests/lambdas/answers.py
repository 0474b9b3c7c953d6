"""Answers of AWS services that no emulation has, to the real client of boto3.

botocore validates what is asked, and every answer is held to the shape of its service model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.validate import ParamValidator

Json = dict[str, Any]
STATUS = {"ConflictException": 409, "ThrottlingException": 429, "ServiceQuotaExceededException": 402}


class RefusalError(Exception):
    """An error that the service answers."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Answers:
    """A client whose calls are answered by functions of their parameters, by operation. `asked` has the calls."""

    def __init__(self, service: str, **operations: Callable[[Json], Json]) -> None:
        self.client = boto3.client(service, region_name="eu-west-1")
        self.asked: list[tuple[str, Json]] = []
        self._operations = operations
        events = self.client.meta.events
        events.register_first(f"before-parameter-build.{service}.*", self._remember)
        events.register_first(f"before-call.{service}.*", self._answer)

    def _remember(self, params: Json, model: Any, **_: Any) -> None:
        self.asked.append((model.name, dict(params)))

    def _answer(self, model: Any, **_: Any) -> tuple[Any, Json]:
        name, given = self.asked[-1]
        assert name == model.name
        try:
            answer = self._operations[name](given)
        except RefusalError as refusal:
            error = {"Error": {"Code": refusal.code, "Message": "as the test says"}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=STATUS.get(refusal.code, 400)), error
        report = ParamValidator().validate(answer, model.output_shape)
        assert not report.has_errors(), report.generate_report()
        assert answer.keys() <= model.output_shape.members.keys()
        return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": {}}

    def calls(self, operation: str) -> list[Json]:
        """Return the parameters of an operation's calls."""
        return [given for name, given in self.asked if name == operation]


def paged(items: list[Any], name: str, given: Mapping[str, Any], size: int = 2) -> Json:
    """Return a page of so few items that every list has several."""
    start = int(given.get("nextToken", 0))
    page: Json = {name: items[start : start + size]}
    return page | ({"nextToken": str(start + size)} if start + size < len(items) else {})
