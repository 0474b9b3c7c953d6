"""The ``cause`` block of a segment: exceptions with their stack traces, parsed for the language that wrote
them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from local.collector.telemetry import Event, Span, as_string, text

Thrown = dict[str, Any]
HTTP_FAILURE = "HTTP request failure"
HTTP_FAILURE_TYPE = "aws.http.error.event"
RUNNING = re.compile(r"\brunning\b")
PLACE = re.compile(r"(?<![^:\s])([^:\s]+):(\d+)")
DURING = "During handling of the above exception, another exception occurred:"


def has_exceptions(span: Span) -> bool:
    """Whether the span's events contain exceptions: they are then the cause, whatever the span's status."""
    return any(_is_exception(event, span) for event in span.events)


def cause(span: Span) -> dict[str, Any] | None:
    """Return the block: the exceptions of a span's events whatever its status, or else an error's message."""
    if has_exceptions(span):
        language = text(span.resource.get("telemetry.sdk.language"))
        is_remote = span.kind in ("CLIENT", "PRODUCER")
        thrown: list[Thrown] = []
        for event in span.events:
            if event.name == "exception":
                thrown += _exceptions(event, is_remote, language)
            elif _is_exception(event, span):
                thrown += _http_failure(event)
        return {"exceptions": thrown} if thrown else {}
    if span.status != "ERROR":
        return None
    message = span.message or text(span.attributes.get("http.status_text"))
    return {"exceptions": [{"id": _id(), "type": "", "message": message}]} if message else None


def _is_exception(event: Event, span: Span) -> bool:
    is_aws = span.attributes.get("rpc.system") == "aws-api"
    return event.name == "exception" or (is_aws and event.name == HTTP_FAILURE)


def _id() -> str:
    return secrets.token_hex(8)


def _thrown(kind: str, message: str, is_remote: bool) -> Thrown:
    return {"id": _id(), "type": kind, "message": message, "remote": is_remote}


def _http_failure(event: Event) -> list[Thrown]:
    """Return a failed request within a call of an AWS SDK that went on: status, time and message."""
    code = event.attributes.get("http.response.status_code")
    message = event.attributes.get("aws.http.error_message")
    if code is None or message is None:
        return []
    when = f"{event.time // 1000 / 1_000_000:.6f}"
    return [_thrown(HTTP_FAILURE_TYPE, "@".join([as_string(code), when, text(message)]), True)]


def _exceptions(event: Event, is_remote: bool, language: str) -> list[Thrown]:
    kind, message, trace = (
        text(event.attributes.get(f"exception.{part}")) for part in ("type", "message", "stacktrace")
    )
    first = _thrown(kind, message, is_remote)
    reader = READERS.get(language)
    if not trace or reader is None:
        return [first]
    thrown = [first]
    reader(trace, thrown)
    return thrown


def _frame(thrown: Thrown, path: str, line: int, label: str) -> None:
    thrown.setdefault("stack", []).append({"path": path, "line": line, "label": label})


def _lines(trace: str) -> list[str]:
    """Return the lines below the first, which repeats type and message."""
    lines = [line.removesuffix("\r") for line in trace.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return lines[1:]


def _number(digits: str) -> int:
    """Return a line number, or 0 for text that is not a number."""
    unsigned = digits[1:] if digits[:1] in ("+", "-") else digits
    return int(digits) if unsigned.isascii() and unsigned.isdigit() and len(unsigned) < 19 else 0


def _caused(thrown: list[Thrown], kind: str, message: str) -> None:
    """Add an exception that caused the last one."""
    thrown.append(_thrown(kind, message, bool(thrown[0]["remote"])))
    thrown[-2]["cause"] = thrown[-1]["id"]


def _read_java(trace: str, thrown: list[Thrown]) -> None:
    lines = _lines(trace)
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if _is_java_frame(line):
            label, _, place = line[4:-1].partition("(")
            path, _, number = place.partition(":")
            # The name of a class loader or module comes before a slash.
            label = label.partition("/")[2] if "/" in label else label
            _frame(thrown[-1], path, _number(number), label)
        elif line.startswith("Caused by: "):
            kind, colon, message = line.removeprefix("Caused by: ").partition(":")
            message = message[1:] if colon else ""
            while position < len(lines) and not _is_java_frame(lines[position]):
                message += lines[position]
                position += 1
            _caused(thrown, kind, message)


def _is_java_frame(line: str) -> bool:
    return line.startswith("\tat ") and "(" in line and line.endswith(")")


def _read_python(trace: str, thrown: list[Thrown]) -> None:
    lines = trace.split("\n")
    position = len(lines) - 2
    while position >= 0:
        line = lines[position]
        if line.startswith("  File "):
            parts = line.split(",")
            if len(parts) == 3:
                number = _number(parts[1].removeprefix(" line ")) if parts[1].startswith(" line ") else 0
                label = parts[2].removeprefix(" in ") if parts[2].startswith(" in ") else ""
                _frame(thrown[-1], parts[0][8:-1], number, label)
        elif line.startswith(DURING):
            above = next((n for n in range(position - 1, -1, -1) if lines[n].startswith("  File ")), None)
            if above is None:
                return
            kind, colon, message = "\n".join(lines[above + 2 : position - 1]).partition(":")
            if not colon:
                return
            _caused(thrown, kind, message[1:])
            position = above
            continue
        position -= 1


def _read_javascript(trace: str, thrown: list[Thrown]) -> None:
    for line in _lines(trace):
        if not line.startswith("    at "):
            continue
        label = path = ""
        number = 0
        if "(" in line and line.endswith(")"):
            label, _, path = line[7:-1].partition("(")
        elif "(" not in line:
            path = line[7:]
        parts = path.split(":", 2)
        if len(parts) == 3:
            path, number = parts[0], _number(parts[1])
        elif len(parts) == 1 and "native" in path:
            path = "native"
        if path or label or number:
            _frame(thrown[0], path, number, label)


def _read_dotnet(trace: str, thrown: list[Thrown]) -> None:
    for line in map(str.strip, _lines(trace)):
        if not line.startswith("at "):
            continue
        if " in " in line:
            before, path = line.split(" in ")[:2]
            number = 0
            if ":" in path:
                path, _, place = path.rpartition(":")
                number = _number(place[5:] if place.startswith("line") else place)
            _frame(thrown[0], path, number, before[3:])
        elif ")" in line:
            _frame(thrown[0], "", 0, line[3 : line.rindex(")") + 1])


def _read_go(trace: str, thrown: list[Thrown]) -> None:
    lines = iter(_lines(trace))
    path, number = "", 0
    for line in lines:
        is_head = line.startswith("goroutine") and line.endswith(":") and RUNNING.search(line, 9)
        label = next(lines, "") if is_head else line
        if place := PLACE.search(next(lines, "")):
            path, number = place[1], _number(place[2])
        _frame(thrown[0], path, number, label)


READERS: dict[str, Callable[[str, list[Thrown]], None]] = {
    "java": _read_java,
    "php": _read_java,
    "python": _read_python,
    "javascript": _read_javascript,
    "nodejs": _read_javascript,
    "webjs": _read_javascript,
    "dotnet": _read_dotnet,
    "go": _read_go,
}
