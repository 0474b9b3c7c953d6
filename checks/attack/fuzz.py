"""Fuzz the parsers of untrusted bytes with atheris, and the HTTP API with schemathesis. Bounded in count and time.

``python -m checks.attack.fuzz parsers`` and ``python -m checks.attack.fuzz api``, with requirements/attack.in
beside the project's own packages. A finding ends the run with its exception.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = 200_000
EXAMPLES = 100
SECONDS = 120


def write_request(data: bytes) -> None:
    """Parse a Prometheus remote write request: any bytes give samples or a ``ValueError``."""
    from local.aws.services.aps import decode_write_request

    try:
        decode_write_request(data)
    except ValueError:
        pass


def spool(data: bytes) -> None:
    """Read a segment that a crash or a stranger left: whole lines come out, and no exception."""
    from fmops.capture.spool import Spool

    with tempfile.TemporaryDirectory() as directory:
        kept = Spool(Path(directory))
        kept.write([b'{"a":1}\n'])
        (segment,) = kept.segments()
        segment.write_bytes(data)
        kept.read(segment)
        Spool(Path(directory)).waiting()


def embedding(data: bytes) -> None:
    """Decode a vector of a record that somebody else wrote."""
    from fmops.interaction import Embedding

    try:
        Embedding(model_id="m", dimension=8, vector=data.decode("latin-1")).decode()
    except ValueError:
        pass


def data_url(data: bytes) -> None:
    """Parse a file block's value, in every form: it is read or refused, and what is written back reads the
    same.
    """
    from fmops.guardrails import forms

    text = data.decode("utf-8", "replace")
    for value in (data, text, "data:image/png;base64," + base64.b64encode(data).decode(), f"data:{text}"):
        for declared in (False, True):
            forms.read_file(value, declared_text=declared)
        if isinstance(value, str):
            forms.is_opaque(value)
            forms.is_token(value)


def json_lines(data: bytes) -> None:
    """Check that nothing is lost between lines."""
    from fmops.json_lines import split

    if b"".join(split(data, keepends=True)) != data:
        raise AssertionError("bytes were lost")


PARSERS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (write_request, spool, embedding, data_url, json_lines)
}


def parsers(name: str) -> None:
    """Fuzz one parser; atheris ends the process."""
    import atheris

    ours = [
        "fmops.capture",
        "fmops.guardrails",
        "fmops.interaction",
        "fmops.json_lines",
        "local.aws.services.aps",
    ]
    with atheris.instrument_imports(include=ours, enable_loader_override=False):
        import local.aws.services.aps  # noqa: F401 - instrumented
    runs = RUNS // 100 if name == "spool" else RUNS  # each waits for the disk
    atheris.Setup(["fuzz", f"-runs={runs}", f"-max_total_time={SECONDS}", "-max_len=4096"], PARSERS[name])
    atheris.Fuzz()


def api() -> None:
    """Call every operation of the OpenAPI document, with inputs that it permits and with others: none
    answers 5xx.
    """
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.checks import not_a_server_error

    from checks.attack.target import target

    with target() as attacked:
        attacked.guardrails.check_sync("Good morning.", "input")  # makes the stand-ins load their models
        schema: Any = schemathesis.openapi.from_asgi("/openapi.json", attacked.app)
        count = 0
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                nonlocal count
                count += 1
                case.call_and_validate(
                    headers={"authorization": f"Bearer {attacked.token('carla')}"},
                    checks=[not_a_server_error],
                )

            check()
            print(f"{operation.method.upper()} {operation.path}: {count} requests so far")  # noqa: T201 - its report


if __name__ == "__main__":
    if sys.argv[1:2] == ["api"]:
        api()
    else:
        parsers(sys.argv[1])
