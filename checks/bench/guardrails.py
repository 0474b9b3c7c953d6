"""The time that guardrails cost, compared with the Comprehend moderation chain and LangChain's PIIMiddleware.

``python -m checks.bench.guardrails`` prints a table and writes its entries into build/bench.json. The detector
API and the model are simulated, and the boto3 clients are real. Every round measures each contender once, and
the median counts.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool

from checks.bench.guardrail_parts import (
    ANSWER,
    CHECK,
    NUMBER,
    Chained,
    Instant,
    Model,
    StreamingModel,
    question,
)
from checks.bench.guardrail_worst import LENGTH, cpu, texts, worst
from checks.bench.guardrails_peers import chains, detector_api, session
from checks.bench.report import Entry, Note, absolute, entry, median_ratio, publish
from fmops.guardrails import (
    Direction,
    GuardedChatModel,
    GuardrailEngine,
    GuardrailMiddleware,
    GuardrailSettings,
    build_engine,
)
from fmops.guardrails.detectors.base import Context
from fmops.guardrails.flow import flow_sync

MODEL = 0.4
ROUNDS = 7

# Three detectors for the input and two for the output, as the chain has them.
SETTINGS: dict[str, Any] = {
    "detectors": {
        "secrets": None,
        "checks": {"kind": "bedrock_checks", "options": {"groups": ["prompt_attack"]}},
    },
    "speculative": True,
}


async def timed(run: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def rounds(
    contenders: dict[str, Callable[[], Awaitable[Any]]], number: int = ROUNDS
) -> dict[str, list[float]]:
    """Return the seconds of each contender in each round. They run one after another, and the first round
    is not measured."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(number + 1):
        for name, run in contenders.items():
            seconds = await timed(run)
            if turn:
                times[name].append(seconds)
    return times


async def checks_alone(engine: GuardrailEngine, chain: Any) -> dict[str, list[float]]:
    comprehend = engine._detectors["pii"]

    async def slowest() -> None:
        context = Context(Direction.INPUT, "user", "en", comprehend.categories)
        await asyncio.to_thread(comprehend.detect, [question()], context)

    return await rounds(
        {
            "slowest call": slowest,
            "ours": lambda: engine.check(question(), "input"),
            "chain": lambda: chain.ainvoke(question()),
        },
        number=15,
    )


async def whole_turn(engine: GuardrailEngine, before: Any, after: Any) -> dict[str, list[float]]:
    def model() -> Model:
        return Model(answers=[AIMessage(ANSWER)], seconds=MODEL)

    async def chain() -> None:
        checked = (await before.ainvoke(question()))["output"]
        await after.ainvoke((await model().ainvoke(checked)).text)

    return await rounds(
        {
            "unguarded": lambda: model().ainvoke(question()),
            "ours": lambda: GuardedChatModel(model=model(), engine=engine).ainvoke(question()),
            "chain": chain,
        }
    )


@tool
def lookup(claim: str) -> str:
    """Look a claim up."""
    return f"Claim {claim} is open, entry {next(NUMBER)}."


async def tool_turn(engine: GuardrailEngine, before: Any, after: Any) -> dict[str, list[float]]:
    """Run two tool calls, one after another. The model answers at once, so what remains is the guardrails'
    time.
    """

    def model() -> Model:
        calls = [
            {"name": "lookup", "args": {"claim": f"C-{next(NUMBER)}"}, "id": f"c{index}"}
            for index in range(2)
        ]
        return Model(
            answers=[
                AIMessage("Let me look at it,", tool_calls=calls[:1]),
                AIMessage("", tool_calls=calls[1:]),
                AIMessage("It is open,"),
            ]
        )

    def turn(chat: BaseChatModel, *middleware: Any) -> Awaitable[Any]:
        agent = create_agent(chat, [lookup], middleware=middleware)
        message = HumanMessage(question())
        for each in middleware:
            message = each.sealed(message) if isinstance(each, GuardrailMiddleware) else message
        return agent.ainvoke({"messages": [message]})

    return await rounds(
        {
            "unguarded": lambda: turn(model()),
            "ours": lambda: turn(GuardedChatModel(model=model(), engine=engine), GuardrailMiddleware(engine)),
            "chain": lambda: turn(model(), Chained(before, after)),
        }
    )


async def streamed() -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, bool]]:
    """Return total time and time to first token, and whether the streamed tokens contained what was
    to be redacted."""
    planted = "jane@mail.example"
    first: dict[str, list[float]] = {}
    leaked: dict[str, bool] = {}

    def model() -> StreamingModel:
        return StreamingModel(answers=[AIMessage(ANSWER[:700] + f"Write to {planted} now. This is all.")])

    async def consume(name: str, chat: BaseChatModel, *middleware: Any) -> None:
        agent = create_agent(chat, [], middleware=middleware)
        began, seen = time.perf_counter(), ""
        async for message, _ in agent.astream(
            {"messages": [HumanMessage(question())]}, stream_mode="messages"
        ):
            if isinstance(message, AIMessageChunk) and message.text:
                if not seen:
                    first.setdefault(name, []).append(time.perf_counter() - began)
                seen += message.text
        leaked[name] = planted in seen

    local = build_engine(
        GuardrailSettings.model_validate(
            {
                **SETTINGS,
                "detectors": {**SETTINGS["detectors"], "mail": {"kind": "checks.bench.guardrail_parts:Mail"}},
            }
        ),
        session(),
    )
    totals = await rounds(
        {
            "unguarded": lambda: consume("unguarded", model()),
            "ours": lambda: consume("ours", GuardedChatModel(model=model(), engine=local)),
            "PIIMiddleware": lambda: consume(
                "PIIMiddleware", model(), PIIMiddleware("email", apply_to_output=True)
            ),
        },
        number=5,
    )
    return totals, {name: times[1:] for name, times in first.items()}, leaked


def instant_engine(seconds: float) -> GuardrailEngine:
    detectors = [Instant(name, None) for name in ("a", "b", "c")]  # type: ignore[arg-type]
    for detector in detectors:
        detector.seconds = seconds
    return GuardrailEngine(
        detectors, settings=GuardrailSettings.model_validate({"speculative": True, "concurrency": 256})
    )


async def own_cpu(turns: int = 200) -> list[float]:
    """Return the CPU milliseconds that the guardrails add to a turn, with three detectors at 0 ms."""
    engine = instant_engine(0.0)

    bare = Model(answers=[AIMessage(ANSWER[:200])])
    guarded = GuardedChatModel(model=bare, engine=engine)

    async def cpu(model: BaseChatModel) -> float:
        began = time.process_time()
        for _ in range(turns):
            await model.ainvoke(question())
        return (time.process_time() - began) * 1000 / turns

    values = []
    for turn in range(ROUNDS + 1):
        added = -await cpu(bare) + await cpu(guarded)
        if turn:
            values.append(added)
    return values


STREAMED = (10_000, 20_000, 40_000, 80_000)


def unspaced() -> list[tuple[int, float, float]]:
    """Return the CPU seconds of a streamed answer without white space, for each length: in windows, and checked
    as a whole."""
    settings = {
        "detectors": {"pii": None, "toxicity": None, "checks": None},
        "identify_language": False,
        "cache_entries": 0,
    }
    engine = build_engine(GuardrailSettings.model_validate(settings), session())
    engine.check_sync("Load the patterns.", "output")

    def chunks(text: str) -> Iterator[ChatGenerationChunk]:
        for begin in range(0, len(text), 4):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[begin : begin + 4]))

    figures = []
    for length in STREAMED:
        text = ("\u7406\u8d54\u7533\u8bf7\u5df2\u53d7\u7406\u8bf7\u7a0d\u5019" * (length // 10))[:length]
        streamed = cpu(lambda text=text: list(flow_sync(engine, chunks(text))))  # type: ignore[misc]
        whole = cpu(lambda text=text: engine.check_sync(text, "output"))  # type: ignore[misc]
        figures.append((length, streamed, whole))
    return figures


async def throughput() -> dict[str, list[float]]:
    """Return the seconds for 32 turns at once."""
    engine = instant_engine(CHECK)

    def model() -> Model:
        return Model(answers=[AIMessage(ANSWER)], seconds=MODEL)

    async def many(make: Callable[[], BaseChatModel]) -> None:
        await asyncio.gather(*(make().ainvoke(question()) for _ in range(32)))

    return await rounds(
        {
            "unguarded": lambda: many(model),
            "ours": lambda: many(lambda: GuardedChatModel(model=model(), engine=engine)),
        }
    )


async def measure() -> tuple[dict[str, Entry], list[Note]]:
    """Return the entries for build/bench.json, and lines of absolute times for orientation."""
    with detector_api(CHECK) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        engine = build_engine(GuardrailSettings.model_validate(SETTINGS), session())
        before, after = chains(url)
        alone = await checks_alone(engine, before)
        turn = await whole_turn(engine, before, after)
        tools = await tool_turn(engine, before, after)
        totals, first, leaked = await streamed()
    own, many = await own_cpu(), await throughput()
    slowest = worst()
    lengths = unspaced()

    floor = [max(MODEL, CHECK) + CHECK] * ROUNDS
    extra = [(ours - bare) / CHECK for ours, bare in zip(totals["ours"], totals["unguarded"], strict=True)]
    entries = {
        "guardrails.checks_vs_slowest": entry(median_ratio(alone["ours"], alone["slowest call"]), "ratio",
            "<= 1.1", "the slowest call alone", 15),
        "guardrails.turn_vs_floor": entry(median_ratio(turn["ours"], floor), "ratio", "<= 1.05",
            "max(model, check) + check", ROUNDS),
        "guardrails.turn_vs_chain": entry(median_ratio(turn["ours"], turn["chain"]), "ratio", "<= 0.62",
            "AmazonComprehendModerationChain", ROUNDS),
        "guardrails.tool_turn_vs_chain": entry(median_ratio(tools["ours"], tools["chain"]), "ratio", "<= 0.34",
            "AmazonComprehendModerationChain, model at 0 ms", ROUNDS),
        "guardrails.stream_extra_checks": entry(statistics.median(extra), "checks", "<= 1.2",
            "the unguarded stream", 5),
        "guardrails.cpu_ms": entry(statistics.median(own), "ms", "<= 2", "the unguarded turn, detectors at 0 ms",
            ROUNDS),
        "guardrails.throughput_kept": entry(median_ratio(many["unguarded"], many["ours"]), "ratio", ">= 0.7",
            "32 unguarded turns at once", ROUNDS),
        "guardrails.worst_text_s": entry(max(slowest.values())[0], "s", "<= 0.5",
            f"{len(list(texts()))} adversarial texts of {LENGTH:,} characters, CPU", 3),
        "guardrails.unspaced_growth": entry((lengths[-1][1] / lengths[0][1]) / (STREAMED[-1] / STREAMED[0]),
            "ratio", "<= 1.5", "linear, from 10,000 to 80,000 characters", 1),
    }  # fmt: skip
    notes = [
        *absolute("3 checks", alone),
        *absolute("whole turn", turn),
        *absolute("turn with 2 tool calls, model 0 ms", tools),
        *absolute("streamed, total", totals),
        *absolute("streamed, first token", first),
        *[
            (f"streamed, {name}", "leaked the planted address" if leak else "no leak")
            for name, leak in leaked.items()
        ],
        *absolute("32 turns at once", many),
        *[
            (f"worst text {way}", f"{seconds:.2f} s of CPU, of {name}")
            for way, (seconds, name) in slowest.items()
        ],
        *[
            (
                f"streamed without white space, {length} characters",
                f"{streamed:.2f} s of CPU, as a whole {whole:.2f} s",
            )
            for length, streamed, whole in lengths
        ],
    ]
    return entries, notes


def main() -> int:
    publish(*asyncio.run(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
