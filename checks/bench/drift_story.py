"""Twelve weeks of synthetic questions to the claims desk, with a new topic from week 8 and a surge
every fourth week.

`python -m checks.bench.drift_story` writes the lake, analyses it day by day, and leaves the reports in
`build/story`. The questions are made from phrases and embedded by the local stand-in for Titan, which is
MiniLM.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from fmops.agent import KNOWLEDGE
from fmops.analysis.lake import DirectoryLake, Window, windows
from fmops.analysis.report import plot, render
from fmops.analysis.result import WindowResult
from fmops.analysis.run import Analysis
from fmops.interaction import Embedding, Interaction
from fmops.toolkit.knowledge import load
from local.detectors.embeddings import embed

MODEL = "amazon.titan-embed-text-v2:0"
START = datetime(2026, 8, 31, tzinfo=UTC)
WEEKS, BASELINE_WEEKS, PER_DAY = 12, 5, 160
NEW_WEEK, NEW_SHARE = 8, 0.06
SWELL_WEEKS, SWELL = (3, 7, 11), 3.0

OPENINGS = (
    "{}", "{}?", "Hello, {}", "Quick question: {}", "{}, please", "I would like to know {}", "Can you tell me {}",
    "My neighbour says {}, right",
)  # fmt: skip
TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "water": (("is {} covered", "what do you pay for {}", "how do I report {}"),
        ("a burst pipe", "a leaking dishwasher", "water from the flat above", "a flooded cellar",
        "a wet ceiling after a leak", "a broken boiler")),
    "theft": (("do you replace {}", "how do I claim for {}", "do I need a police report for {}"),
        ("a stolen laptop", "jewellery taken in a burglary", "a bicycle stolen from the cellar",
        "a television stolen at home", "cash taken from the flat", "a stolen handbag")),
    "collision": (("what happens after {}", "who pays for {}", "how do I report {}"),
        ("a crash at a junction", "a rear-end collision", "a scratch in the car park",
        "an accident with a rental car", "a collision with a lorry", "a parked car that I hit")),
    "roadside": (("do you help with {}", "who comes when I have {}", "is {} part of my cover"),
        ("a flat battery on the motorway", "a flat tyre at night", "an empty tank", "a car that will not start",
        "keys locked in the car", "towing to a garage")),
    "travel": (("can I cancel because of {}", "do you pay back my trip after {}", "what is covered for {}"),
        ("an illness before the flight", "a cancelled flight", "a broken leg before the holiday",
        "a delayed train to the airport", "lost luggage", "a strike at the airport")),
    "storm": (("is {} covered", "who repairs {}", "how fast do you settle {}"),
        ("a roof damaged by the storm", "a tree that fell on the garage in the storm",
        "a fence blown over by wind", "tiles blown off the roof", "a garden shed wrecked by the storm",
        "a broken window after the gale")),
    "status": (("what is the status of {}", "when do I hear about {}", "who works on {}"),
        ("my claim", "the claim I sent last week", "claim C-1001", "my open case", "the claim of my wife",
        "the damage I reported in March")),
    "payout": (("when do I get {}", "why is {} lower than expected", "can you send {} to another account"),
        ("the payout", "my money", "the settlement", "the transfer for my claim", "the compensation",
        "the reimbursement")),
    "excess": (("how high is {}", "can I lower {}", "do I pay {} twice"),
        ("the excess", "my deductible", "the excess for young drivers", "the excess on glass",
        "my own share of the damage", "the deductible for water damage")),
    "documents": (("do you need {}", "where do I upload {}", "is a photo of {} enough"),
        ("the invoice", "the receipt", "a cost estimate", "the police report", "my driving licence",
        "the repair bill")),
    "premium": (("why did {} rise", "can I pay {} monthly", "when is {} due"),
        ("my premium", "the yearly contribution", "the price of my motor policy", "the household premium",
        "the instalment", "the bill for next year")),
    "address": (("how do I change {}", "I moved, how do I update {}", "you have the wrong {}"),
        ("my address", "my phone number", "my bank account", "my email address", "my surname after the wedding",
        "the insured address")),
    "complaint": (("I want to complain about {}", "who handles complaints about {}", "I am unhappy with {}"),
        ("the decision", "the assessor", "the long waiting time", "the rude call", "the rejected claim",
        "your letter")),
    "glass": (("do you repair {}", "where can I have {} fixed", "is {} free of excess"),
        ("a cracked windscreen", "a chip in the windscreen", "a broken side window of the car", "a stone chip",
        "the glass roof of my car", "a shattered rear window")),
}  # fmt: skip
NEW = (
    ("is {} covered", "who pays for {}", "what do I do about {}", "do you insure {}"),
    ("a fire from my e-bike battery", "an e-bike battery that exploded", "smoke damage from a charging e-bike",
        "a burnt e-bike battery in the hallway", "an e-scooter battery that caught fire",
        "charging an e-bike battery in the cellar"),
)  # fmt: skip


def _phrases(source: tuple[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    stems, things = source
    texts = [
        opening.format(stem.format(thing))
        for opening, stem, thing in itertools.product(OPENINGS, stems, things)
    ]
    return [text[0].upper() + text[1:] for text in texts]


def write(lake: DirectoryLake, *, per_day: int = PER_DAY, weeks: int = WEEKS, seed: int = 3) -> None:
    """Write the lake of all days."""
    generator = np.random.default_rng(seed)
    pools = {name: generator.permutation(_phrases(source))[:90].tolist() for name, source in TOPICS.items()}
    pools["new"] = _phrases(NEW)[:90]
    texts = [text for pool in pools.values() for text in pool]
    vectors = dict(zip(texts, embed(texts), strict=True))
    weights = dict(zip(TOPICS, generator.dirichlet(np.full(len(TOPICS), 8)), strict=True))
    for number in range(7 * weeks):
        day = START + timedelta(days=number)
        records = _day(day, number // 7 + 1, pools, weights, generator, per_day)
        lines = b"".join(
            record.model_copy(update={"embedding": Embedding.encode(MODEL, vectors[record.input])}).line()
            for record in records
        )
        lake.write(f"interactions/dt={day:%Y-%m-%d}/hour=12/story.gz", gzip.compress(lines))


def _day(
    day: datetime,
    week: int,
    pools: dict[str, list[str]],
    weights: dict[str, float],
    generator: np.random.Generator,
    per_day: int,
) -> Iterator[Interaction]:
    usual = {name: weight * np.exp(0.15 * generator.standard_normal()) for name, weight in weights.items()}
    if week in SWELL_WEEKS:
        usual["storm"] *= SWELL
    total = sum(usual.values())
    shares = {name: weight / total for name, weight in usual.items()}
    if week >= NEW_WEEK:
        shares = {name: share * (1 - NEW_SHARE) for name, share in shares.items()} | {"new": NEW_SHARE}
    count = int(per_day * (0.7 if day.weekday() >= 5 else 1.0) * np.exp(0.1 * generator.standard_normal()))
    for index, topic in enumerate(generator.choice(list(shares), count, p=list(shares.values()))):
        yield Interaction(
            interaction_id=f"int-story-{day:%Y%m%d}-{index}",
            session_id=f"{day:%Y%m%d}-{index}",
            started_at=(day + timedelta(hours=12, seconds=index)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            input=str(generator.choice(pools[topic])),
        )


def analyse(lake: DirectoryLake, *, weeks: int = WEEKS) -> list[WindowResult]:
    """Fit a baseline to the first weeks, then analyse every day."""
    documents = [f"{document.title}\n{document.text}" for document in load(KNOWLEDGE)]
    end = START + timedelta(weeks=weeks)
    analysis = Analysis(
        lake, corpus=lambda _: np.array(embed(documents), np.float32), now=lambda: end + timedelta(days=1)
    )
    split = START + timedelta(weeks=BASELINE_WEEKS)
    analysis.fit(START, split, version="weeks-1-to-5")
    results = []
    for window in windows(split, end, hours=24):
        result, _ = analysis.analyse(window)
        results.append(result)
        analysis.store.save_report(result, render(result, results), plot(result, results))
    return results


def week_of(result: WindowResult) -> int:
    window = Window(datetime.fromisoformat(result.start), datetime.fromisoformat(result.end))
    return (window.start - START).days // 7 + 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.bench.drift_story", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/story"))
    options = parser.parse_args()
    lake = DirectoryLake(options.output)
    began = time.monotonic()
    if not lake.list("interactions/"):
        write(lake)
    print(f"lake written in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    results = analyse(lake)
    print(f"baseline and {len(results)} days analysed in {time.monotonic() - began:.1f} s")
    for result in results:
        print(
            f"week {week_of(result):2} {result.window} n={result.rows:4} p={result.p_value or 1:.3g}"
            f" evidence={result.evidence:9.3g} novel {result.findings.novel_share:.1%} {result.verdict:8}"
            f" {result.sentence}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
