"""Segment documents as X-Ray takes them.

Sources: AWS X-Ray developer guide, "Segment documents" and "Annotations and metadata"; API reference,
PutTraceSegments.
"""

from __future__ import annotations

import json
import re
from typing import Any

Segment = dict[str, Any]

MAX_BYTES = 64 * 1024
MAX_NAME = 200
MAX_ANNOTATIONS = 50
"""Maximum number of annotations of a trace: above it a single segment is refused, and a trace's further
annotations are not searched."""
MAX_KEY = 500
MAX_VALUE = 1000
LAST_SECOND = 253_402_300_799
"""The end of the year 9999: a later time was meant in milliseconds."""
TRACE_ID = re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}")
W3C_TRACE_ID = re.compile(r"[0-9a-f]{32}")
ID = re.compile(r"[0-9a-fA-F]{16}")
NAME = re.compile(r"[\w\s.:/%&#=+\\\-@]+")
ANNOTATION_KEY = re.compile(r"[A-Za-z0-9_.]+")
OBJECTS = ("http", "aws", "service", "sql", "metadata", "annotations")
FLAGS = ("fault", "error", "throttle", "in_progress", "traced")


class RefusedError(Exception):
    """A document that the service does not process, with its code and the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def normalize(trace_id: str) -> str:
    """Return a trace id in the service's own form; the W3C form is accepted too."""
    return f"1-{trace_id[:8]}-{trace_id[8:]}" if W3C_TRACE_ID.fullmatch(trace_id) else trace_id


def parse(document: str) -> list[Segment]:
    """Return the segments of a document: one, or the subsegments of a list. Raises ``RefusedError``."""
    if len(document.encode()) > MAX_BYTES:
        raise RefusedError("SegmentTooLarge", f"the document is larger than {MAX_BYTES} bytes")
    try:
        parsed = json.loads(document, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("ParseError", str(error)) from error
    segments = parsed if isinstance(parsed, list) else [parsed]
    for segment in segments:
        if not isinstance(segment, dict):
            raise RefusedError("ParseError", "a segment is a JSON object")
        _drop_nulls(segment)
        _require(segment, "id", "trace_id", "name", "start_time")
        segment["trace_id"] = normalize(str(segment["trace_id"]))
        if not TRACE_ID.fullmatch(segment["trace_id"]):
            raise RefusedError(
                "InvalidTraceId", f"{segment['trace_id']!r} is not 1-, 8 and 24 hexadecimal digits"
            )
        is_subsegment = segment.get("type") == "subsegment"
        if segment.get("type") not in (None, "subsegment"):
            raise RefusedError("InvalidField", "type is subsegment or left out")
        if (is_subsegment or isinstance(parsed, list)) and "parent_id" not in segment:
            raise RefusedError("MissingField", "a subsegment that is sent by itself needs parent_id")
        _check(segment)
    return segments


def _drop_nulls(segment: Segment) -> None:
    """Remove null fields, which count as left out."""
    for key in [key for key, value in segment.items() if value is None]:
        del segment[key]


def _check(segment: Segment) -> None:
    """Refuse a segment that breaks a rule, or that contains one that does."""
    _require(segment, "id", "name", "start_time")
    for key in ("id", "parent_id"):
        if key in segment and not (isinstance(segment[key], str) and ID.fullmatch(segment[key])):
            raise RefusedError("InvalidId", f"{key} is 16 hexadecimal digits, not {segment[key]!r}")
    name = segment["name"]
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise RefusedError(
            "InvalidName", f"name has 1 to {MAX_NAME} letters, digits, spaces and _.:/%&#=+\\-@"
        )
    for key in ("start_time", "end_time"):
        value = segment.get(key, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LAST_SECOND:
            raise RefusedError("InvalidTime", f"{key} is seconds since 1970, not {value!r}")
    for key in FLAGS:
        if not isinstance(segment.get(key, False), bool):
            raise RefusedError("InvalidField", f"{key} is true or false")
    if "end_time" not in segment and not segment.get("in_progress"):
        raise RefusedError("MissingField", "give end_time, or in_progress: true")
    for key in OBJECTS:
        if not isinstance(segment.get(key, {}), dict):
            raise RefusedError("InvalidField", f"{key} is an object")
    for part in ("request", "response"):
        if not isinstance(segment.get("http", {}).get(part, {}), dict):
            raise RefusedError("InvalidField", f"http.{part} is an object")
    _check_annotations(segment.get("annotations", {}))
    within = segment.get("subsegments", [])
    if not isinstance(within, list) or not all(isinstance(each, dict) for each in within):
        raise RefusedError("InvalidField", "subsegments is a list of objects")
    for each in within:
        _drop_nulls(each)
        _check(each)


def _check_annotations(annotations: dict[str, Any]) -> None:
    if len(annotations) > MAX_ANNOTATIONS:
        raise RefusedError(
            "TooManyAnnotations", f"at most {MAX_ANNOTATIONS} annotations, not {len(annotations)}"
        )
    for key, value in annotations.items():
        if not ANNOTATION_KEY.fullmatch(key) or len(key) > MAX_KEY:
            raise RefusedError(
                "InvalidAnnotation", f"{key[:MAX_KEY]!r}: a key has letters, digits, _ and . only"
            )
        if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > MAX_VALUE):
            raise RefusedError(
                "InvalidAnnotation",
                f"{key}: a value is text of at most {MAX_VALUE} characters, a number or a boolean",
            )


def _require(segment: Segment, *names: str) -> None:
    if missing := [name for name in names if name not in segment]:
        raise RefusedError("MissingField", f"missing {', '.join(missing)}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
