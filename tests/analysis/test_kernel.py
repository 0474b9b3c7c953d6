"""A window's state does not depend on how its rows are split, and says what was wrong with them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.bench.drift_world import World
from fmops.analysis.hashing import hash_strings
from fmops.analysis.kernel import Batch, Kernel
from fmops.analysis.reference import FREQUENCIES, Array, BaselineError, Reference, fit
from fmops.analysis.state import BLOCKS, DISTINCT, KEPT, State, StateError, empty, least, merge
from fmops.analysis.statistics import RESAMPLES, Comparer, _permuted

ROWS = 3000


@pytest.fixture(scope="module")
def reference() -> Reference:
    world = World(1, dimension=48, topics=12)
    generator = np.random.default_rng(1)
    return fit(world.sample(1500, generator), version="b1", model_id="m", corpus=world.sample(20, generator))


@pytest.fixture(scope="module")
def rows() -> Batch:
    world, generator = World(1, dimension=48, topics=12), np.random.default_rng(2)
    ids = [f"int-{number}" for number in range(ROWS)]
    return Batch(
        world.sample(ROWS, generator, new=0.02),
        ids,
        [f"session {number // 3}" for number in range(ROWS)],
        [f"text {number}" for number in range(ROWS)],
        np.full(ROWS, np.nan, np.float32),
    )


def part(batch: Batch, indices: list[int]) -> Batch:
    return Batch(
        batch.vectors[indices],
        [batch.ids[index] for index in indices],
        [batch.sessions[index] for index in indices],
        [batch.texts[index] for index in indices],
        batch.similarities[indices],
    )


def state_of(reference: Reference, *batches: Batch) -> State:
    kernel = Kernel(reference)
    for batch in batches:
        kernel.add(batch)
    return kernel.result()


def assert_same(left: State, right: State) -> None:
    for name in ("rows", "topics", "novelty", "similarity", "distinct", "copies", "ids", "id_copies"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    for name in ("vectors", "moments", "waves"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=2e-5, atol=2e-4)
    assert left.checks == right.checks
    for kind in KEPT:
        assert [row.interaction_id for row in left.examples[kind]] == [
            row.interaction_id for row in right.examples[kind]
        ], kind


@given(cuts=st.lists(st.integers(0, ROWS), max_size=12), seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_any_split_merges_to_the_same_state(
    reference: Reference, rows: Batch, cuts: list[int], seed: int
) -> None:
    whole = state_of(reference, rows)
    generator = np.random.default_rng(seed)
    order = generator.permutation(ROWS).tolist()
    parts = [
        state_of(reference, part(rows, order[a:b])) for a, b in itertools.pairwise(sorted({0, *cuts, ROWS}))
    ]
    mixed = [parts[index] for index in generator.permutation(len(parts))]
    assert_same(merge([empty(reference), *mixed]), whole)


def test_a_state_survives_storage_with_its_texts_elsewhere(reference: Reference, rows: Batch) -> None:
    state = state_of(reference, rows)
    stored = State.from_bytes(state.to_bytes(), state.texts())
    assert_same(stored, state)
    assert stored.texts() == state.texts()
    assert set(State.from_bytes(state.to_bytes()).texts().values()) == {""}
    assert b"text 1" not in state.to_bytes()


def test_a_states_size_does_not_depend_on_its_rows(reference: Reference, rows: Batch) -> None:
    once, tenfold = state_of(reference, rows), state_of(reference, *[rows] * 10)
    sizes = [sum(len(kept) for kept in state.examples.values()) for state in (once, tenfold)]
    assert sizes[0] == sizes[1]
    assert tenfold.count == 10 * once.count


def test_duplicates_are_counted_across_objects(reference: Reference, rows: Batch) -> None:
    assert state_of(reference, rows).duplicate_share == state_of(reference, rows).repeated_share == 0
    again = merge([state_of(reference, rows), state_of(reference, rows)])
    assert again.duplicate_share == again.repeated_share == 0.5
    few = part(rows, list(range(0, ROWS, 20)))  # other interactions with the same vectors
    few.ids = [f"other-{identifier}" for identifier in few.ids]
    some = merge([state_of(reference, rows), state_of(reference, few)])
    assert some.duplicate_share == pytest.approx(1 / 21, abs=0.015)
    assert some.repeated_share == 0


def test_few_duplicates_are_counted_exactly(reference: Reference, rows: Batch) -> None:
    head, tail = part(rows, list(range(500))), part(rows, list(range(490, 900)))
    assert merge([state_of(reference, head), state_of(reference, tail)]).repeated_share == pytest.approx(
        10 / 910
    )


def test_the_least_hashes_of_many_are_counted_exactly() -> None:
    generator = np.random.default_rng(3)
    rounds = [generator.integers(0, 3 * DISTINCT, 5 * DISTINCT).astype(np.uint64) for _ in range(3)]
    kept: tuple[Array, Array] = (np.zeros(0, np.uint64), np.zeros(0, np.int64))
    for hashes in rounds:
        kept = least(*kept, hashes)
    values, copies = np.unique(np.concatenate(rounds), return_counts=True)
    np.testing.assert_array_equal(kept[0], values[:DISTINCT])
    np.testing.assert_array_equal(kept[1], copies[:DISTINCT])


def test_differences_of_resamples_are_measured_without_being_written_out(
    reference: Reference, rows: Batch
) -> None:
    comparer = Comparer(reference, state_of(reference, rows))
    sums = comparer.features(state_of(reference, rows)).noise
    weights = np.random.default_rng(4).standard_normal((20, len(sums)))
    np.testing.assert_allclose(
        comparer._statistics_of(weights, sums), comparer.statistics(weights @ sums), rtol=1e-9
    )


def test_relabelled_blocks_differ_by_their_means(reference: Reference, rows: Batch) -> None:
    comparer = Comparer(reference, state_of(reference, rows))
    ours, others = (
        comparer.features(state_of(reference, part(rows, list(range(start, ROWS, 2))))) for start in (0, 1)
    )
    weights, centred = _permuted(np.random.default_rng(5), ours, others)
    first = np.random.default_rng(5).permuted(np.tile(np.arange(2 * BLOCKS), (RESAMPLES, 1)), axis=1) < BLOCKS
    sums, sizes = np.vstack([ours.sums, others.sums]), np.concatenate([ours.rows, others.rows])
    for chosen, of in zip(first[:5], weights, strict=False):
        means = [sums[these].sum(axis=0) / sizes[these].sum() for these in (chosen, ~chosen)]
        np.testing.assert_allclose(of @ centred, means[0] - means[1], atol=1e-9)


def test_vectors_that_cannot_be_measured_are_counted_and_left_out(reference: Reference, rows: Batch) -> None:
    vectors = rows.vectors[:5].copy()
    vectors[0, 3], vectors[1, 0], vectors[2, :] = np.nan, np.inf, 0
    state = state_of(
        reference, Batch(vectors, rows.ids[:5], rows.sessions[:5], rows.texts[:5], rows.similarities[:5])
    )
    assert (state.count, state.checks["rows"]) == (2, 5)
    assert (state.checks["not_finite"], state.checks["zero"]) == (2, 1)
    assert np.isfinite(state.vectors).all()


def test_an_empty_batch_changes_nothing(reference: Reference, rows: Batch) -> None:
    assert_same(state_of(reference, part(rows, [])), state_of(reference))


def test_states_of_different_baselines_are_refused(reference: Reference, rows: Batch) -> None:
    other = replace(reference, version="b2")
    with pytest.raises(StateError, match="baselines b1 and b2 are incomparable: analyse the window again"):
        merge([state_of(reference, rows), state_of(other, rows)])
    with pytest.raises(StateError, match="no state"):
        merge([])


def test_a_reference_survives_storage_and_refuses_another_format(reference: Reference) -> None:
    stored = Reference.from_bytes(reference.to_bytes())
    assert (stored.version, stored.model_id) == ("b1", "m")
    np.testing.assert_array_equal(stored.centroids, reference.centroids)


def test_a_reference_of_another_format_is_refused(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = reference.to_bytes()
    monkeypatch.setattr("fmops.analysis.reference.FORMAT", 99)
    with pytest.raises(BaselineError, match="has format 1, this version reads 99: fit it again"):
        Reference.from_bytes(data)


def test_a_baseline_keeps_the_frequencies_that_it_was_fitted_with(reference: Reference, rows: Batch) -> None:
    more = replace(reference, frequencies=np.hstack([reference.frequencies, reference.frequencies]))
    parts = [state_of(more, part(rows, list(range(start, ROWS, 2)))) for start in (0, 1)]
    stored = State.from_bytes(merge([empty(more), parts[0]]).to_bytes())
    assert stored.waves.shape[1] == 2 * more.frequencies.shape[1] == 4 * FREQUENCIES
    known = Comparer(more, stored).compare(parts[1])
    usual = Comparer(reference, state_of(reference, part(rows, list(range(0, ROWS, 2))))).compare(
        state_of(reference, part(rows, list(range(1, ROWS, 2))))
    )
    assert known.parts["mmd"].statistic == pytest.approx(2 * usual.parts["mmd"].statistic, rel=1e-3)


def test_a_baseline_needs_rows() -> None:
    with pytest.raises(BaselineError, match="at least 2 rows"):
        fit(np.zeros((1, 8), np.float32), version="b", model_id="m")


def test_hashes_do_not_depend_on_the_other_strings() -> None:
    alone = hash_strings(["int-1"])
    among = hash_strings(["int-1", "a much longer string than the first", "ü"])
    assert alone[0] == among[0]
    assert len(set(hash_strings([f"int-{n}" for n in range(10_000)]).tolist())) == 10_000
    blocks = np.bincount((hash_strings([f"s{n}" for n in range(32_000)]) >> np.uint64(32)) % np.uint64(32))
    assert blocks.min() > 800 and blocks.max() < 1200
