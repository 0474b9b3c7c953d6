"""PutVectors, GetVectors, ListVectors, DeleteVectors and QueryVectors.

Sources: the operations' pages of the S3 API reference, and "Limitations and restrictions" and "Metadata filtering" of
the S3 User Guide. Texts of errors are those that people report from the service; tests/local/golden/s3vectors.yaml
names them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, validation_error
from local.aws.kernel.pages import token_number
from local.aws.services.s3vectors.state import INVALID_TOKEN, Index, checked, find_index

if TYPE_CHECKING:
    from local.aws.vectors.columns import Mask
    from local.aws.vectors.index import Stored, Vectors

MAX_METADATA_BYTES = 40 * 1024
MAX_FILTERABLE_BYTES = 2048
MAX_METADATA_KEYS = 50
MAX_TOP_K = 100
MAX_REQUEST_BYTES = 20 * 1024 * 1024
PAGE = 500
PAGE_BYTES = 1024 * 1024
"""Size at which a page of ListVectors ends, however few its vectors are."""
BYTES_PER_NUMBER = 4


@checked("PutVectors")
def put_vectors(params: Params, context: Context) -> Params:
    index, given = find_index(params, context), params["vectors"]
    if (size := context.headers.get("Content-Length")) and int(size) > MAX_REQUEST_BYTES:
        raise validation_error(f"The request payload must have at most {MAX_REQUEST_BYTES} bytes")
    for number, each in enumerate(given):
        if why := _flaw(each, index):
            message = f"Invalid record for key '{each['key']}': {why[1]}"
            place = {"path": f"vectors[{number}].{why[0]}", "message": why[1]}
            raise ServiceError("ValidationException", message, fieldList=[place])
    data, metadata = (
        [each["data"]["float32"] for each in given],
        [each.get("metadata") or {} for each in given],
    )
    index.vectors.put([each["key"] for each in given], data, metadata)
    return {}


def _flaw(vector: Params, index: Index) -> tuple[str, str] | None:
    """Return the member of a vector that the service refuses, and why."""
    if why := index.vectors.flaw_of(vector["data"]["float32"]):
        return "data", why
    if why := _flaw_of_metadata(vector.get("metadata"), index):
        return "metadata", why
    return None


def _flaw_of_metadata(metadata: Any, index: Index) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        return "Metadata must be a JSON object"
    if len(metadata) > MAX_METADATA_KEYS:
        return f"Metadata must have at most {MAX_METADATA_KEYS} keys"
    for key, value in metadata.items():
        if not all(
            isinstance(each, str | int | float) for each in (value if isinstance(value, list) else [value])
        ):
            return f"Metadata value of '{key}' must be a string, a number, a boolean or a list of them"
    if _size(metadata) > MAX_METADATA_BYTES:
        return f"Metadata must have at most {MAX_METADATA_BYTES} bytes"
    filterable = {key: value for key, value in metadata.items() if key not in index.non_filterable}
    if _size(filterable) > MAX_FILTERABLE_BYTES:
        return f"Filterable metadata must have at most {MAX_FILTERABLE_BYTES} bytes"
    return None


def _size(metadata: Params) -> int:
    """Bytes of metadata as compact JSON. The service does not document how it counts."""
    return len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


@checked("GetVectors")
def get_vectors(params: Params, context: Context) -> Params:
    found = find_index(params, context).vectors.get(params["keys"])
    return {"vectors": [_shown(each, params) for each in found]}


@checked("DeleteVectors")
def delete_vectors(params: Params, context: Context) -> Params:
    find_index(params, context).vectors.delete(params["keys"])
    return {}


@checked("ListVectors")
def list_vectors(params: Params, context: Context) -> Params:
    index = find_index(params, context)
    limit = params.get("maxResults") or PAGE
    after = (
        token_number(params.get("nextToken"), INVALID_TOKEN) - 1
    )  # the token is the serial number of the next vector
    found = index.vectors.page(after, limit + 1, _segment(params))
    shown: list[Params] = []
    size = 0
    for serial, each in found:
        size += _weight(each, params)
        if len(shown) == limit or (shown and size > PAGE_BYTES):
            return {"vectors": shown, "nextToken": str(serial)}
        shown.append(_shown(each, params))
    return {"vectors": shown}


def _segment(params: Params) -> tuple[int, int]:
    part, parts = params.get("segmentIndex"), params.get("segmentCount")
    if (part is None) is not (parts is None):
        raise validation_error("segmentCount and segmentIndex must be specified together")
    if part is None or parts is None:
        return 0, 1
    if part >= parts:
        raise validation_error("segmentIndex must be less than segmentCount")
    return part, parts


def _weight(vector: Stored, params: Params) -> int:
    """Bytes that a vector adds to a page."""
    data = len(vector.data) * BYTES_PER_NUMBER if params.get("returnData") else 0
    return len(vector.key) + data + (_size(vector.metadata) if params.get("returnMetadata") else 0)


def _shown(vector: Stored, params: Params) -> Params:
    shown: Params = {"key": vector.key}
    if params.get("returnData"):
        shown["data"] = {"float32": vector.data.tolist()}
    if params.get("returnMetadata"):
        shown["metadata"] = vector.metadata
    return shown


@checked("QueryVectors")
def query_vectors(params: Params, context: Context) -> Params:
    index = find_index(params, context)
    query = _query(params, index)
    results = []
    for distance, found in index.vectors.search(query, params["topK"], _accepts(params.get("filter"), index)):
        shown = _shown(found, {"returnMetadata": params.get("returnMetadata")})
        results.append({**shown, "distance": distance} if params.get("returnDistance") else shown)
    return {"vectors": results, "distanceMetric": index.metric}


def _accepts(document: Any, index: Index) -> Callable[[Vectors], Mask] | None:
    """The filter of a query, as a question to the vectors."""
    if document is None:
        return None
    from local.aws.vectors import filters

    return functools.partial(filters.mask, document, hidden=index.non_filterable)


def _query(params: Params, index: Index) -> list[float]:
    """The vector to search with. Raises for what the service refuses, and for what is not here."""
    for name in ("queryTexts", "nextToken"):
        if params.get(name):
            raise NotImplementedHere(f"{name} of QueryVectors")
    if params["topK"] > MAX_TOP_K:
        raise validation_error(f"topK must be between 1 and {MAX_TOP_K}, inclusive")
    if params.get("queryMode") == "CLASSIC":
        raise validation_error("CLASSIC cannot be specified for an ENHANCED index")
    vector = params.get("queryVector")
    if vector is None:
        raise validation_error("A request must include queryVector, queryTexts, or both")
    query: list[float] = vector["float32"]
    if why := index.vectors.flaw_of(query):
        raise validation_error(f"Invalid query vector: {why}")
    return query
