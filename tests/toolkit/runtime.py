"""A knowledge base at the boundary: Retrieve over chunks in memory, its requests and answers held to botocore's
model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from fmops.toolkit.bedrock_knowledge import CHUNK, PAGE

_SESSION = botocore.session.get_session()


def validated(
    service: str, operation: str, request: Mapping[str, Any], answer: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the answer, after request and answer were held to botocore's model."""
    model = _SESSION.get_service_model(service).operation_model(operation)
    for values, shape in ((request, model.input_shape), (answer, model.output_shape)):
        if values is not None:
            report = ParamValidator().validate(values, shape)
            assert not report.has_errors(), report.generate_report()
    return answer or {}


def chunk(
    document: str,
    text: str = "Text",
    *,
    audience: str | None = "public",
    classification: str = "public",
    page: int | None = None,
    score: float | None = 0.5,
    **more: Any,
) -> dict[str, Any]:
    """Return a result as Retrieve gives it: metadata in the plain form, pages as floats from zero on."""
    facts: dict[str, Any] = {
        "document": document,
        "classification": classification,
        "title": document.title(),
        "source": f"{document}.pdf",
        "x-amz-bedrock-kb-source-uri": f"s3://bucket/documents/{document}.pdf",
        CHUNK: f"chunk of {document} {text}",
        **more,
    }
    if audience is not None:
        facts["audience"] = audience
    if page is not None:
        facts[PAGE] = float(page - 1)
    result: dict[str, Any] = {"content": {"type": "TEXT", "text": text}, "metadata": facts}
    return result if score is None else {**result, "score": score}


@dataclass
class Runtime:
    """A client of ``bedrock-agent-runtime`` with one knowledge base."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    fault: str = ""
    """Code of the error that every call gets."""
    ignores_filters: bool = False
    """Whether filters have no effect, as an operator has that S3 Vectors does not know."""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def retrieve(self, **request: Any) -> dict[str, Any]:
        validated("bedrock-agent-runtime", "Retrieve", request)
        self.asked.append(request)
        if self.fault:
            raise ClientError({"Error": {"Code": self.fault, "Message": "no"}}, "Retrieve")
        search = request["retrievalConfiguration"]["vectorSearchConfiguration"]
        wanted = {} if self.ignores_filters else search.get("filter", {})
        found = [each for each in self.chunks if _matches(wanted, each["metadata"])]
        found.sort(key=lambda each: -each.get("score", 0.0))
        answer = {"retrievalResults": found[: search.get("numberOfResults", 5)]}
        return validated("bedrock-agent-runtime", "Retrieve", request, answer)


def _matches(wanted: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Return whether the facts pass a filter; a key that is missing matches nothing."""
    if not wanted:
        return True
    ((operator, operand),) = wanted.items()
    match operator:
        case "andAll":
            assert len(operand) >= 2, "the API requires two members"
            return all(_matches(each, facts) for each in operand)
        case "equals":
            return operand["key"] in facts and bool(facts[operand["key"]] == operand["value"])
        case "in":
            return operand["key"] in facts and facts[operand["key"]] in operand["value"]
    raise AssertionError(f"{operator} is not an operator that S3 Vectors filters by")
