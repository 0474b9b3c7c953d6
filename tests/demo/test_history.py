"""The days before the demo: the same in each run, and the first analysis finds what is new in them."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from demo import history
from demo.history import HISTORY, History, Origin
from fmops.analysis.lake import DirectoryLake
from fmops.analysis.run import Analysis, windows
from fmops.interaction import Interaction
from fmops.json_lines import split
from local.detectors import embeddings

ORIGIN = Origin("fmops-dev-assistant", "dev", "model", "embedder")
UNTIL = date(2026, 11, 28)
EXAMPLE = Path(__file__).parents[2] / "examples" / "service_desk" / "demo" / "history.yaml"


@pytest.fixture(scope="module")
def vectors() -> history.Vectors:
    texts = list(dict.fromkeys([*history.load().questions(), *history.documents().values()]))
    return dict(zip(texts, embeddings.embed(texts).tolist(), strict=True))


def objects(vectors: history.Vectors) -> dict[str, bytes]:
    made = history.objects(history.load(), ORIGIN, vectors, history.documents(), until=UNTIL)
    return {key: body for key, body, _ in made}


def test_each_run_writes_the_same_objects_for_the_days_before_today(vectors: history.Vectors) -> None:
    first = objects(vectors)
    assert first == objects(vectors)
    days = sorted({key.split("/")[1] for key in first})
    told = history.load()
    assert len(days) == told.days + told.new.days
    assert days[-1] == "dt=2026-11-27"
    records = [
        Interaction.model_validate_json(line)
        for body in first.values()
        for line in split(gzip.decompress(body))
    ]
    assert len(records) == len({record.interaction_id for record in records}) == len(days) * told.per_day
    for key, body in first.items():
        for line in split(gzip.decompress(body)):
            begun = Interaction.model_validate_json(line).started_at
            assert key.split("/")[1:3] == [f"dt={begun[:10]}", f"hour={begun[11:13]}"]


def test_the_first_report_compares_and_ends_with_a_drift(vectors: history.Vectors, tmp_path: Path) -> None:
    lake = DirectoryLake(tmp_path)
    for key, body in objects(vectors).items():
        lake.write(key, body)
    corpus = np.array([vectors[text] for text in history.documents().values()], np.float32)
    analysis = Analysis(lake, corpus=lambda _: corpus)
    end = datetime.combine(UNTIL, datetime.min.time(), UTC)
    results = [
        analysis.analyse(window)[0]
        for window in windows(end - timedelta(days=history.load().new.days), end, hours=24)
    ]
    assert all(result.p_value is not None for result in results)
    assert results[-1].verdict == "drift"
    assert results[-1].findings.new_topics


@pytest.mark.parametrize("file", [HISTORY, EXAMPLE], ids=["claims desk", "service desk"])
def test_the_file_is_readable_and_names_documents_that_there_are(file: Path) -> None:
    told = History.model_validate(yaml.safe_load(file.read_text()))
    knowledge = file.parents[1] / "fmops" / "agent" / "knowledge"
    assert {topic.document for topic in (*told.topics, told.new)} <= {
        each.stem for each in knowledge.glob("*.md")
    }
