"""The embedded engine: turn a window's objects into its state, on all cores, in memory that does not grow with
the window."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context

import numpy as np

from fmops.analysis.kernel import Batch, Kernel, session_hash
from fmops.analysis.lake import CorruptObjectError, Lake, Reader, Window
from fmops.analysis.reference import Array, Reference
from fmops.analysis.state import State, empty, merge
from fmops.parallel import in_order

log = logging.getLogger("fmops.analysis")

Progress = Callable[[int, int], None]
"""A callback that is told (bytes read, bytes in total)."""

ALONE_BYTES = 16 * 2**20
"""Bytes below which a window is read in this process, because starting others would take longer."""
SMALL_BYTES = 2**20
"""Bytes up to which reading an object is mostly waiting, so that other objects are read meanwhile."""
OBJECT_BYTES = 64 * 2**10
"""Cost of an object beyond its own bytes, in bytes, so that many small objects are also shared between
processes.
"""
TASK_BYTES = 32 * 2**20
FIT_SHARE = 3
"""One session in this many serves to fit a baseline, and is left out of the states of its windows."""


def profile(
    lake: Lake,
    keys: Sequence[tuple[str, int]],
    window: Window,
    reference: Reference,
    *,
    without_fitted: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> State:
    """Return the window's state. An object that cannot be read is left out as a whole, counted and named.

    ``without_fitted`` leaves out the sessions that ``fitting_rows`` takes: a baseline's windows must not hold
    the rows that it was fitted to.
    """
    total = sum(size for _, size in keys)
    effort = total + OBJECT_BYTES * len(keys)
    work = list(tasks(keys, TASK_BYTES))
    count = min(workers or os.cpu_count() or 1, len(work))
    arguments = [(lake, task, window, reference, without_fitted) for task in work]

    def collect(states: Iterable[State]) -> State:
        done, state = 0, empty(reference)
        for task, found in zip(work, states, strict=True):
            state = merge([state, found])
            done += sum(size for _, size in task)
            if progress:
                progress(done, total)
        return state

    if count <= 1 or effort < ALONE_BYTES:
        return collect(map(profile_task, arguments))
    # One BLAS thread per process: more would compete for the cores (drift study, trap 10).
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        return collect(pool.map(profile_task, arguments))


def tasks(keys: Sequence[tuple[str, int]], at_least: int) -> Iterator[list[tuple[str, int]]]:
    """Yield objects and their sizes, in groups that one worker reads at a time."""
    task: list[tuple[str, int]] = []
    total = 0
    for key, size in keys:
        task.append((key, size))
        total += size + OBJECT_BYTES
        if total >= at_least:
            yield task
            task, total = [], 0
    if task:
        yield task


def ahead(lake: Lake, keys: Sequence[tuple[str, int]]) -> Generator[tuple[str, bytes | None]]:
    """Yield objects in the keys' order, None for one that is gone. Small ones are read several at a time, a
    large one alone."""
    for small, group in groupby(keys, lambda item: item[1] <= SMALL_BYTES):
        names = [key for key, _ in group]
        read = in_order(lake.read, names) if small else map(lake.read, names)
        yield from zip(names, read, strict=True)


def profile_task(task: tuple[Lake, list[tuple[str, int]], Window, Reference, bool]) -> State:
    """Return the state of a group of objects: the task of a worker in either engine."""
    from threadpoolctl import threadpool_limits

    lake, keys, window, reference, without_fitted = task
    with threadpool_limits(1):
        together, states = Kernel(reference), []
        for key, data in ahead(lake, keys):
            if data is None or len(data) <= SMALL_BYTES:
                add_object(together, key, data, window, without_fitted)
            else:
                states.append(profile_object(key, data, window, reference, without_fitted))
        return merge([together.result(), *states])


def add_object(
    kernel: Kernel, key: str, data: bytes | None, window: Window, without_fitted: bool = False
) -> None:
    """Add all rows of a small object, or none if it cannot be read to its end.

    Many small objects share a kernel, because to merge a state takes longer than to read a few rows.
    """
    reader, state = Reader(window, kernel.reference.model_id, kernel.reference.dimension), kernel.state
    try:
        batches = list(_rows(reader, key, data, without_fitted))
    except CorruptObjectError as error:
        _leave_out(state, error)
        return
    for batch in batches:
        kernel.add(batch)
    _count(state, reader)


def profile_object(
    key: str, data: bytes | None, window: Window, reference: Reference, without_fitted: bool = False
) -> State:
    """Return the state of one object's rows within the window.

    If the object cannot be read, the state has no rows and names the object.
    """
    reader = Reader(window, reference.model_id, reference.dimension)
    kernel = Kernel(reference)
    try:
        for batch in _rows(reader, key, data, without_fitted):
            kernel.add(batch)
    except CorruptObjectError as error:
        state = empty(reference)
        _leave_out(state, error)
        return state
    state = kernel.result()
    _count(state, reader)
    return state


def _rows(reader: Reader, key: str, data: bytes | None, without_fitted: bool) -> Iterator[Batch]:
    for batch in reader.read(data, key):
        yield not_fitted(batch) if without_fitted else batch


def _leave_out(state: State, error: CorruptObjectError) -> None:
    state.checks["corrupt_objects"] += 1
    state.bad_objects.append(str(error))


def _count(state: State, reader: Reader) -> None:
    state.checks.update({"objects": 1, **reader.checks})
    state.models.update(reader.models)


def fitting_rows(
    lake: Lake, keys: Sequence[tuple[str, int]], window: Window, *, limit: int, model_id: str | None = None
) -> tuple[Array, Array, str | None, Counter[str]]:
    """Return up to ``limit`` vectors ``[n, d]`` of a window's fitting sessions, their similarities, the model,
    and the checks.

    The model is the one asked for, or that of the first row.
    """
    reader = Reader(window, model_id)
    vectors, similarities, count = [], [], 0
    objects = ahead(lake, keys)
    for key, data in objects:
        try:
            for batch in reader.read(data, key):
                chosen = _is_for_fit(batch)
                rows = batch.vectors[chosen]
                sums = np.einsum("ij,ij->i", rows, rows)
                usable = np.isfinite(sums) & (sums > 0)
                vectors.append(rows[usable])
                similarities.append(batch.similarities[chosen][usable])
                count += int(usable.sum())
        except CorruptObjectError as error:
            log.warning("no baseline is fitted on %s", error)
            continue
        if count >= limit:
            objects.close()
            break
    if not vectors:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.float32), reader.model_id, reader.models
    return (
        np.concatenate(vectors)[:limit],
        np.concatenate(similarities)[:limit],
        reader.model_id,
        reader.models,
    )


def _is_for_fit(batch: Batch) -> Array:
    chosen: Array = session_hash(batch.sessions) % np.uint64(FIT_SHARE) == 0
    return chosen


def not_fitted(batch: Batch) -> Batch:
    """Return the rows of sessions that no baseline is fitted to."""
    rows = np.flatnonzero(~_is_for_fit(batch)).tolist()
    return Batch(
        batch.vectors[rows],
        [batch.ids[row] for row in rows],
        [batch.sessions[row] for row in rows],
        [batch.texts[row] for row in rows],
        batch.similarities[rows],
        [batch.traces[row] for row in rows] if batch.traces else (),
    )
