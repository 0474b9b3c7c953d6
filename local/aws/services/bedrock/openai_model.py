"""Converse on any OpenAI-compatible server (Ollama, vLLM, llama.cpp): tools and streaming translated both ways.

`FMOPS_LOCAL_MODEL_URL` is the base URL (`http://localhost:11434/v1`), `FMOPS_LOCAL_MODEL` the model's name
there (by default the first that the server lists), `FMOPS_LOCAL_MODEL_KEY` its API key if it needs one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from local.aws.kernel.api import NotImplementedHere, Params, ServiceError

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}

TEXT_BLOCK, NO_BLOCK = -1, -2


def respond(request: Params, base_url: str) -> Iterator[Params]:
    """Yield the events of ConverseStream as the server streams its answer. Errors of the server
    become the service's."""
    import openai

    client = openai.OpenAI(base_url=base_url, api_key=os.environ.get("FMOPS_LOCAL_MODEL_KEY", "none"))
    began = time.monotonic()
    try:
        name = os.environ.get("FMOPS_LOCAL_MODEL") or client.models.list().data[0].id
        arguments = to_chat_completion(request)
        chunks = client.chat.completions.create(
            model=name, stream=True, stream_options={"include_usage": True}, **arguments
        )
    except openai.APIConnectionError as error:
        raise ServiceError(
            "ServiceUnavailableException", f"the model server at {base_url} does not answer: {error}"
        ) from error
    except openai.RateLimitError as error:
        raise ServiceError("ThrottlingException", str(error)) from error
    except openai.APIStatusError as error:
        raise ServiceError("ModelErrorException", f"the model server at {base_url} says: {error}") from error
    return _events(chunks, began)


def to_chat_completion(request: Params) -> Params:
    """Translate a Converse request to a chat completion request."""
    messages: list[Params] = [
        {"role": "system", "content": block["text"]}
        for block in request.get("system") or []
        if "text" in block
    ]
    for message in request["messages"]:
        messages.extend(_messages(message))
    arguments: Params = {"messages": messages}
    inference = request.get("inferenceConfig") or {}
    for theirs, ours in (
        ("max_tokens", "maxTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("stop", "stopSequences"),
    ):
        if inference.get(ours) is not None:
            arguments[theirs] = inference[ours]
    tools = request.get("toolConfig") or {}
    if tools.get("tools"):
        arguments["tools"] = [_tool(tool["toolSpec"]) for tool in tools["tools"] if "toolSpec" in tool]
        arguments["tool_choice"] = _choice(tools.get("toolChoice") or {"auto": {}})
    return arguments


def _tool(spec: Params) -> Params:
    function = {
        "name": spec["name"],
        "description": spec.get("description", ""),
        "parameters": spec["inputSchema"]["json"],
    }
    return {"type": "function", "function": function}


def _choice(choice: Params) -> Any:
    if "tool" in choice:
        return {"type": "function", "function": {"name": choice["tool"]["name"]}}
    return "required" if "any" in choice else "auto"


def _messages(message: Params) -> list[Params]:
    text = "".join(block["text"] for block in message["content"] if "text" in block)
    calls = [_call(block["toolUse"]) for block in message["content"] if "toolUse" in block]
    results = [block["toolResult"] for block in message["content"] if "toolResult" in block]
    other = {kind for block in message["content"] for kind in block} - {
        "text",
        "toolUse",
        "toolResult",
        "cachePoint",
    }
    if other:
        raise NotImplementedHere(f"content of kind {', '.join(sorted(other))}")
    translated: list[Params] = [
        {"role": "tool", "tool_call_id": result["toolUseId"], "content": _result(result)}
        for result in results
    ]
    if calls:
        translated.append({"role": "assistant", "content": text or None, "tool_calls": calls})
    elif text:
        translated.append({"role": message["role"], "content": text})
    return translated


def _call(use: Params) -> Params:
    return {
        "id": use["toolUseId"],
        "type": "function",
        "function": {"name": use["name"], "arguments": json.dumps(use["input"])},
    }


def _result(result: Params) -> str:
    return "\n".join(
        block["text"] if "text" in block else json.dumps(block.get("json")) for block in result["content"]
    )


def _events(chunks: Any, began: float) -> Iterator[Params]:
    yield {"messageStart": {"role": "assistant"}}
    open_block: Any = NO_BLOCK  # OpenAI's index of the open tool call, or one of the two markers below it
    open_id: str | None = None
    index, stop_reason, usage = -1, "end_turn", None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces: list[tuple[Any, str | None, Any]] = (
                [(TEXT_BLOCK, choice.delta.content, None)] if choice.delta.content else []
            )
            pieces += [
                (call.index, call.function and call.function.arguments, call)
                for call in choice.delta.tool_calls or []
            ]
            for block, piece, call in pieces:
                if block != open_block or _begins(call, open_id):
                    if open_block != NO_BLOCK:
                        yield {"contentBlockStop": {"contentBlockIndex": index}}
                    open_block, index = block, index + 1
                    if call is not None:
                        open_id = call.id
                        name = (call.function and call.function.name) or ""
                        start = {"toolUse": {"toolUseId": call.id or f"tooluse_{uuid4().hex}", "name": name}}
                        yield {"contentBlockStart": {"contentBlockIndex": index, "start": start}}
                delta = {"text": piece} if call is None else {"toolUse": {"input": piece or ""}}
                yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}
            if choice.finish_reason:
                stop_reason = STOP_REASONS.get(choice.finish_reason, "end_turn")
    if open_block != NO_BLOCK:
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    yield {"messageStop": {"stopReason": stop_reason}}
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    yield {
        "metadata": {
            "usage": {"inputTokens": counts[0], "outputTokens": counts[1], "totalTokens": sum(counts)},
            "metrics": {"latencyMs": round((time.monotonic() - began) * 1000)},
        }
    }


def _begins(call: Any, open_id: str | None) -> bool:
    """Whether the piece begins another call although its index is the open one's: some servers do
    not number calls."""
    if call is None or not (call.function and call.function.name):
        return False
    return not open_id or call.id not in (None, "", open_id)
