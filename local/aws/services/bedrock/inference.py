"""Bedrock's inference: Converse on the built-in responder or on an OpenAI-compatible server, and
embeddings on MiniLM.

The responder is no language model, and MiniLM is not Titan: both stand in for the models behind the same API.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from local.aws.kernel.api import (
    Context,
    NotImplementedHere,
    Params,
    ServiceError,
    operation,
    validation_error,
)
from local.aws.services.bedrock import models
from local.aws.services.bedrock.catalog import Catalog

SERVICE = "bedrock-runtime"
MODEL_URL = "FMOPS_LOCAL_MODEL_URL"
EMBEDDING_DIMENSIONS = (256, 512, 1024)
MAX_EMBEDDING_CHARACTERS = 50_000
CHARACTERS_PER_TOKEN = 4  # only for the token counts in the answers


def stream_events(request: Params) -> Iterator[Params]:
    """Return the Converse stream events that answer a Converse request."""
    if url := os.environ.get(MODEL_URL):
        from local.aws.services.bedrock import openai_model

        return openai_model.respond(request, url)
    from local.aws.services.bedrock import responder

    return iter(responder.respond(request))


@operation(SERVICE, "ConverseStream")
def converse_stream(params: Params, context: Context) -> Params:
    _check_conversation(params, context)
    return {"stream": stream_events(params)}


@operation(SERVICE, "Converse")
def converse(params: Params, context: Context) -> Params:
    _check_conversation(params, context)
    return aggregate(stream_events(params))


def aggregate(events: Iterable[Params]) -> Params:
    """Return the whole answer that a stream of events amounts to."""
    role, stop_reason, metadata = "assistant", "end_turn", {}
    blocks: dict[int, Params] = {}
    for event in events:
        ((kind, body),) = event.items()
        if kind == "messageStart":
            role = body["role"]
        elif kind == "contentBlockStart":
            blocks[body["contentBlockIndex"]] = {"toolUse": {**body["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            _append(blocks, body["contentBlockIndex"], body["delta"])
        elif kind == "messageStop":
            stop_reason = body["stopReason"]
        elif kind == "metadata":
            metadata = body
        elif kind != "contentBlockStop":
            raise ServiceError("InternalServerException", f"unknown stream event {kind}")
    content = [_closed(block) for _, block in sorted(blocks.items())]
    return {
        "output": {"message": {"role": role, "content": content}},
        "stopReason": stop_reason,
        "usage": metadata.get("usage", {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}),
        "metrics": metadata.get("metrics", {"latencyMs": 0}),
    }


def _append(blocks: dict[int, Params], index: int, delta: Params) -> None:
    if "toolUse" in delta:
        blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "text" in delta:
        block = blocks.setdefault(index, {"text": ""})
        block["text"] += delta["text"]
    else:
        raise NotImplementedHere(f"content of kind {next(iter(delta))}")


def _closed(block: Params) -> Params:
    if "toolUse" in block:
        return {"toolUse": {**block["toolUse"], "input": json.loads(block["toolUse"]["input"] or "{}")}}
    return block


def _check_conversation(params: Params, context: Context) -> None:
    """Check the rules that the service checks before a model sees anything."""
    context.state(Catalog).check_access(params["modelId"])
    model = models.resolve(params["modelId"], context.region)
    if model.embedding:
        raise validation_error("The model does not support Converse")
    messages = params.get("messages") or []
    if not messages or messages[0]["role"] != "user":
        raise validation_error(
            "A conversation must start with a user message. Try again with a conversation that starts with a"
            " user message."
        )
    if params.get("guardrailConfig"):
        raise NotImplementedHere("guardrailConfig; call ApplyGuardrail")
    asked: set[str] = set()
    for number, message in enumerate(messages):
        blocks = message["content"]
        if any("toolUse" in block or "toolResult" in block for block in blocks) and not params.get(
            "toolConfig"
        ):
            raise validation_error(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        answered = {block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block}
        if asked != answered:
            ids = ", ".join(sorted(asked ^ answered))
            raise validation_error(
                f"messages.{number}: toolResult blocks must match the toolUse blocks of the previous turn: {ids}"
            )
        asked = {block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block}


@operation(SERVICE, "InvokeModel")
def invoke_model(params: Params, context: Context) -> Params:
    context.state(Catalog).check_access(params["modelId"])
    model = models.resolve(params["modelId"], context.region)
    if not model.embedding:
        raise NotImplementedHere("text models answer Converse and ConverseStream")
    try:
        body = json.loads(params["body"])
    except ValueError as error:
        raise validation_error("Malformed input request: the body is not JSON") from error
    return {"body": json.dumps(embed(body)).encode(), "contentType": "application/json"}


def embed(body: Params) -> Params:
    """Return a Titan Text Embeddings V2 answer: MiniLM's 384 numbers, filled up with zeros to the dimension, or
    cut to 256 and rescaled."""
    import numpy as np

    from local.detectors import embeddings

    unknown = set(body) - {"inputText", "dimensions", "normalize", "embeddingTypes"}
    if unknown:
        raise validation_error(f"Malformed input request: extraneous key {min(unknown)!r}")
    text, dimensions = body.get("inputText"), body.get("dimensions", 1024)
    if not isinstance(text, str) or not text:
        raise validation_error("Malformed input request: expected minLength: 1, actual: 0")
    if len(text) > MAX_EMBEDDING_CHARACTERS:
        raise validation_error(
            f"Malformed input request: expected maxLength: {MAX_EMBEDDING_CHARACTERS}, actual: {len(text)}"
        )
    if dimensions not in EMBEDDING_DIMENSIONS:
        raise validation_error(f"Malformed input request: dimensions must be one of {EMBEDDING_DIMENSIONS}")
    if set(body.get("embeddingTypes", ["float"])) != {"float"}:
        raise NotImplementedHere("binary embeddings")
    vector: Any = np.zeros(dimensions, dtype=np.float32)
    minilm = embeddings.embed([text])[0][:dimensions]
    vector[: len(minilm)] = minilm / np.linalg.norm(minilm)
    numbers = [float(number) for number in vector]
    return {
        "embedding": numbers,
        "embeddingsByType": {"float": numbers},
        "inputTextTokenCount": max(1, len(text) // CHARACTERS_PER_TOKEN),
    }
