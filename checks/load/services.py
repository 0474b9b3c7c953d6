"""Model, detectors and delivery stream with chosen delays and next to no work: ``python -m checks.load.services
PORT``.

On two cores, stand-ins that think would be the bottleneck. These answer in the services' own formats after a
delay, and remember which interactions were delivered. ``PUT /_pace`` sets the delays; ``GET /_delivered``
lists the interactions.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from moto.core.eventstream import EventStream, EventStreamEncoder
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from checks.load.answers import WORDS
from fmops.json_lines import split

EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass
class Pace:
    """Delays in seconds."""

    first_token: float = 0.0
    chunk: float = 0.0
    check: float = 0.0
    """Delay of a detector's call."""
    embedding: float = 0.0
    delivery: float = 0.0


pace = Pace()
delivered: list[str] = []
app = FastAPI()


def _stream() -> list[bytes]:
    """Return the encoded events of one answer, according to the service's own model."""
    model = get_service_model("bedrock-runtime").operation_model("ConverseStream")
    serializer: Any = get_serializer_class("bedrock-runtime", "rest-json")(model)
    usage = {"inputTokens": 400, "outputTokens": len(WORDS), "totalTokens": 400 + len(WORDS)}
    events: list[dict[str, Any]] = [
        {"messageStart": {"role": "assistant"}},
        *({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": word}}} for word in WORDS),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}},
    ]
    encoder = EventStreamEncoder()
    shaped = EventStream(
        {"stream": iter(events)}, model.output_shape, serializer.EVENT_STREAM_SERIALIZER_CLS(model)
    )
    return [encoder.encode_event(event) for event in shaped]


_EVENTS = _stream()


@app.put("/_pace")
async def set_pace(request: Request) -> JSONResponse:
    global pace
    pace = Pace(**await request.json())
    return JSONResponse(asdict(pace))


@app.get("/_delivered")
async def list_delivered() -> JSONResponse:
    return JSONResponse(delivered)


@app.post("/model/{_:path}/converse-stream")
async def converse_stream() -> StreamingResponse:
    async def events() -> AsyncIterator[bytes]:
        await asyncio.sleep(pace.first_token)
        for number, event in enumerate(_EVENTS):
            if 1 <= number <= len(WORDS):
                await asyncio.sleep(pace.chunk)
            yield event

    return StreamingResponse(events(), media_type=EVENT_STREAM)


@app.post("/model/{_:path}/converse")
async def converse() -> JSONResponse:
    await asyncio.sleep(pace.first_token + pace.chunk * len(WORDS))
    usage = {"inputTokens": 400, "outputTokens": len(WORDS), "totalTokens": 400 + len(WORDS)}
    message = {"role": "assistant", "content": [{"text": "".join(WORDS)}]}
    body = {
        "output": {"message": message},
        "stopReason": "end_turn",
        "usage": usage,
        "metrics": {"latencyMs": 1},
    }
    return JSONResponse(body)


@app.post("/model/{_:path}/invoke")
async def embed(request: Request) -> JSONResponse:
    body = await request.json()
    await asyncio.sleep(pace.embedding)
    dimensions = body.get("dimensions", 1024)
    vector = [1.0, *[0.0] * (dimensions - 1)]
    return JSONResponse(
        {"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": 10}
    )


@app.post("/guardrail-checks/invoke")
async def check(request: Request) -> JSONResponse:
    asked = (await request.json())["checks"]
    await asyncio.sleep(pace.check)
    results = {
        name: {"results": [], "truncated": False}
        if name == "sensitiveInformation"
        else {
            "results": [{"category": each["category"], "severityScore": 0.0} for each in given["categories"]]
        }
        for name, given in asked.items()
    }
    return JSONResponse({"results": results, "usage": {name: {"textUnits": 1} for name in results}})


@app.post("/")
async def json_protocol(request: Request) -> JSONResponse:
    """Answer Comprehend and Firehose, which name their operation in a header."""
    operation = request.headers["x-amz-target"].rpartition(".")[2]
    body = await request.json()
    match operation:
        case "DetectPiiEntities":
            await asyncio.sleep(pace.check)
            return JSONResponse({"Entities": []})
        case "DetectToxicContent":
            await asyncio.sleep(pace.check)
            return JSONResponse(
                {"ResultList": [{"Labels": [], "Toxicity": 0.0} for _ in body["TextSegments"]]}
            )
        case "PutRecordBatch":
            await asyncio.sleep(pace.delivery)
            for record in body["Records"]:
                lines = split(base64.b64decode(record["Data"]))
                delivered.extend(json.loads(line).get("interaction_id", "") for line in lines)
            told = [{"RecordId": str(time.time_ns())} for _ in body["Records"]]
            return JSONResponse({"FailedPutCount": 0, "Encrypted": True, "RequestResponses": told})
    return JSONResponse({"__type": "UnknownOperationException", "message": operation}, 400)


if __name__ == "__main__":
    uvicorn.run(app, host="localhost", port=int(sys.argv[1]), log_level="warning", access_log=False)
