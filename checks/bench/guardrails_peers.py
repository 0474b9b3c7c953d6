"""The peers of the guardrails' benchmark: the Comprehend moderation chain, and a simulated detector
API for both.

Run as a module it is the API: it answers harmlessly after a delay, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3


@contextmanager
def detector_api(seconds: float) -> Iterator[str]:
    """Yield the URL of a detector API that answers after a delay."""
    process = subprocess.Popen(
        [sys.executable, "-m", "checks.bench.guardrails_peers", str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def session() -> boto3.Session:
    """Return a session with credentials that nobody checks."""
    return boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1")


def chains(url: str) -> tuple[Any, Any]:
    """Return AmazonComprehendModerationChain for input (three filters) and for output (two)."""
    from langchain_experimental.comprehend_moderation import (
        AmazonComprehendModerationChain,
        BaseModerationConfig,
        ModerationPiiConfig,
        ModerationPromptSafetyConfig,
        ModerationToxicityConfig,
    )

    punkt()
    client = session().client("comprehend", endpoint_url=url)
    filters = [ModerationPiiConfig(redact=True), ModerationToxicityConfig()]

    def chain(*chosen: Any) -> Any:
        return AmazonComprehendModerationChain(
            moderation_config=BaseModerationConfig(filters=list(chosen)), client=client
        )

    return chain(*filters, ModerationPromptSafetyConfig()), chain(*filters)


def punkt() -> None:
    """Make the chain run at all: with every NLTK since 3.9 it fails unless an empty Punkt model is where it
    looks.
    """
    import nltk
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    folder = Path(tempfile.mkdtemp())
    (folder / "tokenizers" / "punkt").mkdir(parents=True)
    english = folder / "tokenizers" / "punkt_tab" / "english"
    english.mkdir(parents=True)
    nltk.data.path.insert(0, str(folder))  # NLTK writes and reads only below its data paths
    save_punkt_params(PunktParameters(), dir=str(english))


def _answer(target: str, request: dict[str, Any]) -> dict[str, Any]:
    match target.rpartition(".")[2]:
        case "DetectToxicContent":
            return {"ResultList": [{"Labels": [], "Toxicity": 0.01} for _ in request["TextSegments"]]}
        case "DetectPiiEntities":
            return {"Entities": []}
        case "ContainsPiiEntities":
            return {"Labels": []}
        case "ClassifyDocument":
            return {
                "Classes": [{"Name": "SAFE_PROMPT", "Score": 0.99}, {"Name": "UNSAFE_PROMPT", "Score": 0.01}]
            }
    results = {
        check: {"results": [{**each, "severityScore": 0.0} for each in wanted["categories"]]}
        for check, wanted in request["checks"].items()
    }
    return {"results": results, "usage": {}}


async def _serve(seconds: float) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                headers = {}
                while (line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                await asyncio.sleep(seconds)
                answer = json.dumps(_answer(headers.get("x-amz-target", ""), body)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(f"Content-Length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (ConnectionResetError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
