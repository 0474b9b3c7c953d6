"""Both engines find the same in the same lake. Spark runs in local mode, with the packages of
requirements/spark.txt."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from fmops.analysis.elsewhere import EngineError, SparkEngine
from fmops.analysis.lake import COLUMNS, DirectoryLake
from fmops.analysis.report import render
from fmops.analysis.result import WindowResult
from fmops.analysis.run import Analysis
from fmops.interaction import Embedding
from tests.analysis.traffic import START, day, interaction, put, usual_days

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "spark" / "bin" / "python"
BASELINE = 4
LATER = datetime(2027, 1, 1, tzinfo=UTC)

needs_spark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="no java on PATH, which Spark needs"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venvs/spark: make .venvs/spark/installed"),
]


def run(arguments: Sequence[str]) -> None:
    """Run in Spark's local mode, with each object in a task of its own."""
    command = [str(PYTHON), "-m", "fmops.analysis.spark", *arguments, "--task-mib", "0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture
def lake(tmp_path: Path) -> DirectoryLake:
    """Return a baseline of four days, and a day with a new topic and every possible fault, in JSON
    lines and Parquet."""
    lake, world = usual_days(tmp_path / "embedded", BASELINE, rows=400)
    Analysis(lake, corpus=lambda _: world.sample(30, np.random.default_rng(9))).fit(
        START, START + timedelta(days=BASELINE), version="b1"
    )
    window, generator = day(10), np.random.default_rng(5)
    for number, name in enumerate("abcd"):
        rows = world.sample(300, generator, new=0.1)
        rows[0, 3], rows[1, 0], rows[2] = np.nan, np.inf, 0
        records = [
            interaction(window, n, row, f"text {n} of hail", interaction_id=f"{name}{n}", session_id=f"{name}{n // 2}")
            for n, row in enumerate(rows)
        ]  # fmt: skip
        other = interaction(window, 700, None, interaction_id=f"{name}-other")
        other = other.model_copy(update={"embedding": Embedding.encode("other", rows[5])})
        put(
            lake,
            window,
            [*records, records[9], other, interaction(window, 701, None, interaction_id=f"{name}-none")],
            name,
        )
        if number == 1:
            _cut(lake, f"interactions/dt={window.id}/hour=00/{name}.gz")
        if number == 2:
            _to_parquet(lake.root / f"interactions/dt={window.id}/hour=00", name)
    return lake


def _cut(lake: DirectoryLake, key: str) -> None:
    data = lake.read(key) or b""
    lake.write(key, data[: len(data) // 2])


def _to_parquet(folder: Path, name: str) -> None:
    source = folder / f"{name}.gz"
    duckdb.sql(
        f"COPY (SELECT * FROM read_json('{source}', columns={COLUMNS})) TO '{folder}/{name}.parquet' (FORMAT parquet)"
    )
    source.unlink()


@pytest.mark.usefixtures("lake")
class TestBothEngines:
    pytestmark = needs_spark

    def test_they_give_the_same_report_on_the_same_lake(self, lake: DirectoryLake, tmp_path: Path) -> None:
        window = day(10)
        shutil.copytree(lake.root, tmp_path / "spark")
        other = DirectoryLake(tmp_path / "spark")
        engine = SparkEngine(other, str(other.root), run)
        embedded, _ = Analysis(lake, now=lambda: LATER).analyse(window)
        spark, _ = Analysis(other, spark=engine, now=lambda: LATER).analyse(window)

        assert (embedded.engine, spark.engine) == ("embedded", "spark")
        assert embedded.rows == 3 * 297 and embedded.checks["corrupt_objects"] == 1
        assert embedded.findings.new_topics
        self._same_state(lake, other, window.id)
        assert _comparable(spark) == _comparable(embedded)
        assert _page(spark) == _page(embedded)

    def _same_state(self, lake: DirectoryLake, other: DirectoryLake, window_id: str) -> None:
        left, right = (Analysis(each).store.state("b1", window_id) for each in (lake, other))
        assert left is not None and right is not None
        for name in ("rows", "topics", "novelty", "similarity", "distinct", "copies", "ids", "id_copies"):
            np.testing.assert_array_equal(getattr(right, name), getattr(left, name), err_msg=name)
        # The same numbers are summed in another order, so that float64 differs in its last bits.
        for name in ("vectors", "moments", "waves"):
            np.testing.assert_allclose(
                getattr(right, name), getattr(left, name), rtol=1e-9, atol=1e-9, err_msg=name
            )
        assert (left.checks, left.models, left.bad_objects) == (right.checks, right.models, right.bad_objects)
        assert left.texts() == right.texts()


def test_a_run_that_wrote_no_state_is_an_error(lake: DirectoryLake) -> None:
    analysis = Analysis(lake, spark=SparkEngine(lake, str(lake.root), lambda _: None), now=lambda: LATER)
    with pytest.raises(EngineError, match="window 2026-09-11: the Spark run succeeded, but there is no"):
        analysis.analyse(day(10))


def test_a_windows_size_decides_which_engine_reads_it(lake: DirectoryLake) -> None:
    engine = SparkEngine(lake, str(lake.root), lambda _: None)
    small, large = [("a", 99)], [("a", 99), ("b", 1)]
    assert Analysis(lake).engine(large) == "embedded"
    auto = Analysis(lake, spark=engine, spark_from=100)
    assert [auto.engine(keys) for keys in ([], small, large)] == ["embedded", "embedded", "spark"]
    assert Analysis(lake, spark=engine).engine(small) == "spark"


def _comparable(result: WindowResult) -> dict[str, object]:
    """Return everything except the engine and its time, with floats to nine digits."""
    return _rounded(result.model_dump(exclude={"engine", "seconds"}))  # type: ignore[return-value]


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _page(result: WindowResult) -> str:
    return re.sub(r"\w+ engine, [\d.]+ s", "", render(result, [result]))
