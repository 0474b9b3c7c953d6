"""Days of captured traffic from before the demo, for the first analysis to compare: written as Firehose delivers it.

Everything is drawn from fixed seeds; embeddings are those of the deployment's own model. The records name no trace,
since there is none.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmops import written
from fmops.agent import KNOWLEDGE, NAME
from fmops.capture.record import encode
from fmops.deployment import Deployment
from fmops.interaction import Embedding, Interaction, RetrievedDocument, TokenUsage
from fmops.partitions import LONGEST_BUFFER, partition
from fmops.toolkit import knowledge

HISTORY = Path(__file__).with_name("history.yaml")
HOURS = (9, 12, 16)
"""Hours of the day in whose first minutes people ask; each has one object."""
AT_ONCE = 8
"""Maximum embeddings that are asked for at once."""

Vectors = Mapping[str, Sequence[float]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topic(_Part):
    """Questions that one document answers."""

    document: str
    ask: tuple[str, ...] = Field(min_length=1)
    weight: float = 1


class NewTopic(Topic):
    """Questions of the last days, with their share of them."""

    days: int = Field(ge=1)

    share: float = Field(gt=0, lt=1)


class History(_Part):
    """The file ``history.yaml``. ``pydantic.ValidationError`` names a field that is missing or unknown."""

    days: int = Field(ge=1)
    per_day: int = Field(ge=1)
    people: int = Field(ge=1)
    forms: tuple[str, ...] = Field(min_length=1)
    topics: tuple[Topic, ...] = Field(min_length=1)
    new: NewTopic

    def questions(self) -> list[str]:
        """Return every question in every form."""
        return [
            form.format(ask) for topic in (*self.topics, self.new) for ask in topic.ask for form in self.forms
        ]


@dataclass(frozen=True)
class Origin:
    """The deployment that would have captured the records."""

    service: str
    environment: str
    model_id: str
    embedding_model_id: str


def load() -> History:
    """Return the history that ships with the demo."""
    return written.read_model(History, HISTORY)


def documents() -> dict[str, str]:
    """Return the text of each document by its id, with its title as its first line, as they are embedded."""
    return {each.id: f"{each.title}\n{each.text}" for each in knowledge.load(KNOWLEDGE)}


def main(outputs: Mapping[str, Mapping[str, str]]) -> int:
    """Write the days before today into the deployment's lake, and return how many records they have. Written
    again, they replace themselves."""
    environment = Deployment("", outputs=outputs).assistant_environment()
    pairs = dict(pair.split("=", 1) for pair in environment["OTEL_RESOURCE_ATTRIBUTES"].split(",") if pair)
    origin = Origin(
        environment["OTEL_SERVICE_NAME"],
        pairs.get("deployment.environment.name", ""),
        environment["FMOPS_MODEL_ID"],
        environment["FMOPS_EMBEDDING_MODEL_ID"],
    )
    history, texts = load(), documents()
    vectors = embedded([*history.questions(), *texts.values()], origin.embedding_model_id)
    s3, bucket, count = boto3.client("s3"), outputs["Capture"]["LakeBucketName"], 0
    for key, body, records in objects(history, origin, vectors, texts, until=datetime.now(UTC).date()):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        count += records
    return count


def embedded(texts: Sequence[str], model_id: str) -> Vectors:
    """Return the embedding of each text by the deployment's model."""
    client = boto3.client("bedrock-runtime")

    def embed(text: str) -> Sequence[float]:
        answer = client.invoke_model(modelId=model_id, body=json.dumps({"inputText": text}))
        found: Sequence[float] = json.loads(answer["body"].read())["embedding"]
        return found

    distinct = list(dict.fromkeys(texts))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(distinct, pool.map(embed, distinct), strict=True))


def objects(
    history: History, origin: Origin, vectors: Vectors, texts: Mapping[str, str], *, until: date
) -> Iterator[tuple[str, bytes, int]]:
    """Yield the key, the body and the number of records of each hour's object, for the days before ``until``."""
    scores = _similarities(history, vectors, texts)
    count = history.days + history.new.days
    for number in range(count):
        day = until - timedelta(days=count - number)
        drawn = _day(history, origin, vectors, texts, scores, day, number)
        for hour in HOURS:
            at = datetime.combine(day, time(hour), UTC)
            lines = [encode(record) for begun, record in drawn if begun.hour == hour]
            name = f"{NAME}-history-{at:%Y-%m-%d-%H}.jsonl.gz"
            yield f"interactions/{partition(at)}{name}", gzip.compress(b"".join(lines), mtime=0), len(lines)


def _day(
    history: History,
    origin: Origin,
    vectors: Vectors,
    texts: Mapping[str, str],
    scores: Callable[[str, str], float],
    day: date,
    number: int,
) -> list[tuple[datetime, Interaction]]:
    """Return a day's records by when they began; the last days have the new topic."""
    draw = random.Random(number)  # noqa: S311 - the same records in each run are the point
    weights = [topic.weight * draw.uniform(0.8, 1.25) for topic in history.topics]
    records = []
    for place in range(history.per_day):
        new = number >= history.days and draw.random() < history.new.share
        topic = history.new if new else draw.choices(history.topics, weights)[0]
        question = draw.choice(history.forms).format(draw.choice(topic.ask))
        person = draw.randrange(history.people)
        seconds = draw.randrange(int(LONGEST_BUFFER.total_seconds()))
        begun = datetime.combine(day, time(draw.choice(HOURS)), UTC) + timedelta(seconds=seconds)
        answer = "I do not know." if new else texts[topic.document].partition("\n")[2].split(". ")[0] + "."
        records.append(
            (
                begun,
                Interaction(
                    interaction_id=f"int-{_digest(number, place)[:32]}",
                    session_id=_digest("session", number, person),
                    user=_digest("user", person),
                    service=origin.service,
                    environment=origin.environment,
                    started_at=begun.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                    duration_ms=round(draw.uniform(400, 1800), 3),
                    model_id=origin.model_id,
                    prompt_name=NAME,
                    prompt_version="packaged",
                    input=question,
                    output=answer,
                    finish_reason="stop",
                    usage=TokenUsage(input_tokens=len(question), output_tokens=len(answer) // 4),
                    retrieved=[
                        RetrievedDocument(document_id=topic.document, score=scores(question, topic.document))
                    ],
                    embedding=Embedding.encode(origin.embedding_model_id, vectors[question]),
                ),
            )
        )
    return sorted(records, key=lambda each: each[0])


def _similarities(
    history: History, vectors: Vectors, texts: Mapping[str, str]
) -> Callable[[str, str], float]:
    """Return a function from a question and a document's id to their cosine similarity."""
    units: dict[str, Any] = {
        text: np.asarray(vectors[text]) / np.linalg.norm(vectors[text])
        for text in (*history.questions(), *texts.values())
    }
    return lambda question, document: round(float(units[question] @ units[texts[document]]), 4)


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, ("history", *parts))).encode()).hexdigest()
