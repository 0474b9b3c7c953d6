"""The embedding analysis compared with other methods: power and false alarms, rows per second,
formats, and growth.

`python -m checks.bench.analysis` is its part of `make bench`; `--power` prints only the table of power,
`--scale 10000000` the growth up to as many rows. The peers run in `.venvs/drift-peers`, which is created if
necessary.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before numpy: contenders are compared on one core

import numpy as np

from checks.bench.analysis_peers import ALL, c2st
from checks.bench.drift_world import HARDER, NULLS, SCENARIOS, World, pair
from checks.bench.report import Note, entry, median_ratio, publish
from fmops.analysis.kernel import TILE, Batch, Kernel
from fmops.analysis.reference import Reference, fit
from fmops.analysis.state import State
from fmops.analysis.statistics import Comparer

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venvs" / "drift-peers" / "bin" / "python"
TABLE = ROOT / "build" / "drift-power.json"
ROWS, NULL_RUNS, RUNS, PEER_RUNS = 2000, 200, 40, 10
SIDE = 100_000
ROUNDS = 5
WORKERS = os.cpu_count() or 1


def batch_of(rows: Any, name: str, *, per_session: int = 1) -> Batch:
    ids = [f"{name}-{number}" for number in range(len(rows))]
    sessions = [f"{name}-{number // per_session}" for number in range(len(rows))]
    return Batch(rows, ids, sessions, ids, np.full(len(rows), np.nan, np.float32))


def state_of(reference: Reference, rows: Any, name: str, *, per_session: int = 1) -> State:
    kernel = Kernel(reference)
    kernel.add(batch_of(rows, name, per_session=per_session))
    return kernel.result()


def _ours(task: tuple[str, int]) -> tuple[str, float]:
    scenario, seed = task
    history, usual, current = pair(seed, ALL[scenario], ROWS)
    per_session = int(ALL[scenario].get("per_session", 1))
    reference = fit(history, version="bench", model_id="synthetic")
    baseline = state_of(reference, usual, f"usual-{seed}", per_session=per_session)
    window = state_of(reference, current, f"current-{seed}", per_session=per_session)
    p_value = Comparer(reference, baseline).compare(window).p_value
    assert p_value is not None
    return scenario, p_value


def power() -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return shares of alarms by method and scenario, ours first; and ours alone."""
    tasks = [(name, seed) for name in ALL for seed in range(NULL_RUNS if name == "none" else RUNS)]
    values: dict[str, list[float]] = {}
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for number, (scenario, p_value) in enumerate(pool.map(_ours, tasks, chunksize=4), 1):
            values.setdefault(scenario, []).append(p_value)
            print(f"\r  ours: {number} of {len(tasks)} pairs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    ours = {name: float(np.mean(np.array(found) <= 0.05)) for name, found in values.items()}
    peers = json.loads(_peers("power", str(PEER_RUNS), str(ROWS), str(WORKERS)))
    table = {"this repository": ours} | {
        name: {scenario: float(np.mean(found)) for scenario, found in by.items()}
        for name, by in peers.items()
    }
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(
        json.dumps({"rows": ROWS, "runs": [NULL_RUNS, RUNS, PEER_RUNS], "table": table}, indent=1)
    )
    return table, ours


def show(table: dict[str, dict[str, float]]) -> None:
    print(
        f"Share of runs that alarmed at 5 %. {ROWS} rows a side, 384 dimensions; seeds 0 to {NULL_RUNS - 1}"
        f" for none and 0 to {RUNS - 1} for the rest for ours, 0 to {2 * PEER_RUNS - 1} and 0 to"
        f" {PEER_RUNS - 1} for the others."
    )
    names = [*NULLS, *SCENARIOS, *HARDER]
    print(f"{'':28}" + "".join(f"{name.replace('new topic', 'new')[:15]:>16}" for name in names))
    for method, by in table.items():
        print(f"{method:28}" + "".join(f"{by[name]:16.2f}" for name in names))


def _peers(*arguments: str) -> str:
    if not PEERS.exists():
        subprocess.run(["make", ".venvs/drift-peers/installed"], cwd=ROOT, check=True)
    command = [str(PEERS), "-W", "ignore", "-m", "checks.bench.analysis_peers", *arguments]
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()[-1]


def speed() -> tuple[dict[str, Any], list[Note]]:
    """Measure processor time on one core: the states of two windows and their test, compared with the peers and
    the bare products."""
    world, generator = World(1), np.random.default_rng(1)
    reference = fit(world.sample(5000, generator), version="bench", model_id="synthetic")
    usual, current = world.sample(SIDE, generator), world.sample(SIDE, generator)
    batches = batch_of(usual, "usual"), batch_of(current, "current")
    matrix = np.ascontiguousarray(
        np.hstack([reference.centroids.T, reference.components, reference.frequencies]), np.float32
    )
    into = np.zeros((TILE, matrix.shape[1]), np.float32)
    ours, c2st_seconds, ks_seconds, products, kernel_only = [], [], [], [], []
    state_of(reference, usual[:5000], "warm")
    c2st(usual[:5000], current[:5000])  # imports take longer than the test
    paging = []
    for _ in range(ROUNDS):
        began = time.process_time()
        states = []
        for batch in batches:
            kernel = Kernel(reference)
            kernel.add(batch)
            states.append(kernel.result())
        kernel_only.append(time.process_time() - began)
        Comparer(reference, states[0]).compare(states[1])
        ours.append(time.process_time() - began)
        began = time.process_time()
        for rows in (usual, current):
            for start in range(0, SIDE - TILE, TILE):
                np.matmul(rows[start : start + TILE], matrix, out=into)
        products.append(time.process_time() - began)
        began, paged = time.process_time(), _system_seconds()
        c2st(usual, current)
        c2st_seconds.append(time.process_time() - began)
        paging.append(_system_seconds() - paged)
        ks_seconds.append(float(_peers("ks", str(SIDE))))
    entries = {
        "analysis.rows_vs_alibi": entry(
            median_ratio(ks_seconds, ours), "ratio", ">= 10", f"alibi-detect's KS, {SIDE} rows a side", ROUNDS
        ),
        "analysis.rows_vs_c2st": entry(
            median_ratio(c2st_seconds, ours),
            "ratio",
            ">= 1.5",
            "a logistic classifier two-sample test",
            ROUNDS,
        ),
        "analysis.vs_gemm": entry(
            median_ratio(kernel_only, products),
            "ratio",
            "<= 2",
            "the pure matrix products of the same rows",
            ROUNDS,
        ),
    }
    seconds = statistics.median(ours)
    notes = [
        ("states and test of 200,000 rows", f"{seconds:.2f} s, {2 * SIDE / seconds:,.0f} rows/s and core"),
        (
            "classifier two-sample test",
            f"{statistics.median(c2st_seconds):.2f} s, of which the system takes {min(paging):.2f} to"
            f" {max(paging):.2f} s to give it memory",
        ),
        ("alibi-detect's KS", f"{statistics.median(ks_seconds):.2f} s"),
        ("matrix products alone", f"{statistics.median(products):.2f} s"),
        ("kernels of OpenBLAS", ", ".join(sorted(_kernels()))),
    ]
    return entries, notes


def _system_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def _kernels() -> set[str]:
    """Return the processors that OpenBLAS's kernels are for: those of the machine, unless OPENBLAS_CORETYPE says
    otherwise, which may halve the speed of the products."""
    from threadpoolctl import threadpool_info

    return {str(pool.get("architecture")) for pool in threadpool_info() if pool["user_api"] == "blas"}


def growth(sizes: list[int]) -> list[Note]:
    """Measure time and peak memory of a process for growing numbers of generated rows: linear, and flat."""
    notes = []
    for rows in sizes:
        command = [sys.executable, "-W", "ignore", "-m", "checks.bench.analysis", "--one", str(rows)]
        seconds, peak = json.loads(
            subprocess.run(
                command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
            ).stdout.splitlines()[-1]
        )
        notes.append(
            (f"{rows:,} rows", f"{seconds:.2f} s, {seconds / rows * 1e6:.1f} us a row, peak {peak:.0f} MiB")
        )
    return notes


def _grow(rows: int) -> tuple[float, float]:
    """Analyse rows drawn from 65,536 vectors; each row has a new id and session."""
    world, generator = World(1), np.random.default_rng(1)
    reference = fit(world.sample(5000, generator), version="bench", model_id="synthetic")
    pool = world.sample(min(rows, 65_536), generator)
    kernel, done = Kernel(reference), 0
    began = time.process_time()
    while done < rows:
        count = min(8192, rows - done)
        start = done % (len(pool) - count + 1)
        kernel.add(batch_of(pool[start : start + count], f"g{done}"))
        done += count
    assert kernel.result().count == rows
    return time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.bench.analysis", description=__doc__)
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--scale", type=int)
    parser.add_argument("--formats", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_grow(options.one)))
        return 0
    if options.scale:
        sizes = [10**exponent for exponent in range(4, 12) if 10**exponent <= options.scale]
        for what, value in growth(sizes):
            print(f"  {what:24} {value}")
        return 0
    if options.formats:
        from checks.bench.drift_formats import formats

        for what, value in formats():
            print(f"  {what:44} {value}")
        return 0
    table, ours = power()
    show(table)
    entries = {
        "analysis.power_min": entry(
            min(ours[name] for name in SCENARIOS), "share", ">= 0.9", "the least of five scenarios", RUNS
        ),
        "analysis.false_alarms": entry(
            ours["none"], "share", "<= 0.06", f"{NULL_RUNS} runs without drift", NULL_RUNS
        ),
    }
    notes: list[Note] = []
    if not options.power:
        from checks.bench.drift_formats import formats

        measured, notes = speed()
        entries |= measured
        notes += growth([10_000, 100_000, 1_000_000]) + formats()
    publish(entries, notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
