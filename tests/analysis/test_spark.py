"""Both engines find the same in the same lake. Runs Spark in its local mode, with the packages of requirements-spark.txt."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.drift_world import World
from fmops.analysis.baseline import build
from fmops.analysis.engine import profile
from fmops.analysis.lake import DirectoryLake
from fmops.analysis.reference import fit
from fmops.analysis.state import State
from tests.analysis.traffic import MODEL, day, interaction, put

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "spark" / "bin" / "python"

pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="no java on PATH, which Spark needs"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venvs/spark: make .venvs/spark/installed"),
]


def test_spark_and_embedded_give_the_same_state_and_the_same_answer(tmp_path: Path) -> None:
    lake, window, world = DirectoryLake(tmp_path), day(0), World(5, dimension=48, topics=12)
    generator = np.random.default_rng(5)
    for name in "abc":
        rows = world.sample(700, generator, new=0.05)
        records = [
            interaction(
                window, n, row, f"text {n}", interaction_id=f"{name}{n}", session_id=f"{name}{n // 2}"
            )
            for n, row in enumerate(rows)
        ]
        put(
            lake,
            window,
            [*records, records[0], interaction(window, 9999, None, interaction_id=f"{name}-none")],
            name,
        )
    reference = fit(world.sample(1500, generator), version="b", model_id=MODEL)
    lake.write("reference.npz", reference.to_bytes())
    embedded = profile(lake, window.keys(lake, "interactions"), window, reference)
    command = [
        *(str(PYTHON), "-m", "fmops.analysis.spark", "--lake", str(tmp_path), "--reference", "reference.npz"),
        *("--from", "2026-09-01", "--to", "2026-09-02", "--output", "state.npz"),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    spark = State.from_bytes(lake.read("state.npz") or b"")
    for name in ("rows", "topics", "novelty", "distinct"):
        np.testing.assert_array_equal(getattr(spark, name), getattr(embedded, name), err_msg=name)
    for name in ("vectors", "moments", "waves"):
        np.testing.assert_allclose(getattr(spark, name), getattr(embedded, name), rtol=2e-5, atol=2e-4)
    for kind, kept in embedded.examples.items():
        assert [row.interaction_id for row in spark.examples[kind]] == [row.interaction_id for row in kept]
    for check in ("interactions", "no_embedding", "repeated"):
        assert spark.checks[check] == embedded.checks[check], check
    usual = build(reference, [("usual", embedded)])
    assert usual.compare(spark).p_value == usual.compare(embedded).p_value
