"""Windows analysed one after the other: findings, refusals, and work that is not repeated."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from checks.bench.drift_world import World
from fmops.analysis import wording
from fmops.analysis.baseline import accumulate, evidence, false_discovery_rates
from fmops.analysis.findings import Findings
from fmops.analysis.lake import DirectoryLake, windows
from fmops.analysis.reference import BaselineError
from fmops.analysis.report import CHECKS, render
from fmops.analysis.result import PLACES
from fmops.analysis.run import Analysis
from fmops.analysis.trend import Trend
from fmops.interaction import Embedding
from fmops.review.model import DriftSignal
from tests.analysis.traffic import START, day, fill, interaction, put, usual_days

DAYS = 16
LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """Return a lake of 16 usual days with a baseline fitted to them."""
    root = tmp_path_factory.mktemp("lake")
    lake, world = usual_days(root, DAYS)
    Analysis(lake, corpus=lambda _: world.sample(30, np.random.default_rng(9))).fit(
        START, START + timedelta(days=DAYS), version="b1"
    )
    return root, world


def test_a_baseline_is_fitted_on_all_of_its_days(known: tuple[Path, World]) -> None:
    vectors, _, model = Analysis(DirectoryLake(known[0]))._fitting_sample(
        windows(START, START + timedelta(days=DAYS), hours=24)
    )
    assert (model, vectors.shape[1]) == ("titan", 48)
    assert len(vectors) == pytest.approx(DAYS * 300 / 3, rel=0.1)


@pytest.fixture
def analysis(known: tuple[Path, World], tmp_path: Path) -> Analysis:
    import shutil

    shutil.copytree(known[0], tmp_path / "lake")
    return Analysis(DirectoryLake(tmp_path / "lake"), now=lambda: LATER)


@pytest.fixture
def world(known: tuple[Path, World]) -> World:
    return known[1]


def test_rates_of_false_discoveries_are_scipys() -> None:
    from scipy.stats import false_discovery_control

    values = np.random.default_rng(2).random(50) ** 3
    values[:10] = values[0]
    np.testing.assert_allclose(false_discovery_rates(values), false_discovery_control(values))
    assert len(false_discovery_rates(values[:0])) == 0


def test_a_usual_day_is_usual(analysis: Analysis, world: World) -> None:
    fill(analysis.lake, day(20), world.sample(300, np.random.default_rng(20), jitter=0.15))
    result, is_new = analysis.analyse(day(20))
    assert (result.verdict, result.alert, result.null, is_new) == ("usual", False, "windows", True)
    assert result.sentence == "The queries are what they usually are."


def test_a_new_topic_is_found_named_dated_and_handed_to_review(analysis: Analysis, world: World) -> None:
    generator = np.random.default_rng(21)
    for number in (20, 21, 22):
        usual = world.sample(300, generator, jitter=0.15)
        new = world.sample(24 if number > 20 else 0, generator, new=1.0)
        texts = [f"question {n}" for n in range(300)] + [
            f"My car has hail damage, dent {n}" for n in range(len(new))
        ]
        fill(analysis.lake, day(number), np.vstack([usual, new]), texts)
        result, _ = analysis.analyse(day(number))
    assert (result.verdict, result.alert) == ("drift", True)
    (topic,) = result.findings.new_topics
    # Its rows within the radius of a usual topic are not counted: 24 of 324 in all.
    assert 0.03 < topic.share < 0.09
    assert topic.since == "2026-09-22"
    assert topic.terms == ["hail damage", "car", "dent"]
    assert result.sentence.startswith("Since 22 Sep people ask about ")
    assert all("hail" in quote.text for quote in topic.examples)
    kinds = {signal.kind for signal in result.for_review}
    assert "new_topic" in kinds
    lines = (analysis.lake.read("analysis/content/review/2026-09-23.jsonl") or b"").decode().splitlines()
    assert [DriftSignal.model_validate_json(line).kind for line in lines] == [
        item.kind for item in result.for_review
    ]
    html = render(result, analysis.store.results("b1"))
    assert result.sentence in html
    assert "hail damage, car, dent" in html
    assert "http://" not in html and "https://" not in html


def test_the_report_leads_from_an_example_to_its_trace(analysis: Analysis, world: World) -> None:
    generator = np.random.default_rng(31)
    rows = np.vstack([world.sample(300, generator, jitter=0.15), world.sample(24, generator, new=1.0)])
    texts = [f"question {n}" for n in range(300)] + [f"My car has hail damage, dent {n}" for n in range(24)]
    fill(analysis.lake, day(20), rows, texts, trace_id="c" * 32)
    result, _ = analysis.analyse(day(20))
    (topic,) = result.findings.new_topics
    for quote in topic.examples:
        number = 300 + int(quote.text.rpartition(" ")[2])
        assert quote.trace == f"trace={'c' * 32}&at={interaction(day(20), number, None).started_at}"
    html = render(result, analysis.store.results("b1"), assistant="https://claims.example.com/")
    assert f'href="https://claims.example.com/why?trace={"c" * 32}&amp;at=2026-09-21T' in html
    (again, *_) = [each for each in analysis.store.results("b1") if each.window == result.window]
    assert again.findings.new_topics == result.findings.new_topics
    for unknown in ("", "javascript:alert(1)//"):
        html = render(result, analysis.store.results("b1"), assistant=unknown)
        assert "<a href" not in html
        assert f"why?trace={'c' * 32}" in html


@pytest.mark.parametrize("trace_id", ["", "x", "c" * 31, '"><script>', "C" * 32])
def test_what_is_no_trace_is_not_led_to(analysis: Analysis, world: World, trace_id: str) -> None:
    rows = world.sample(60, np.random.default_rng(32), jitter=0.15)
    fill(analysis.lake, day(20), rows, trace_id=trace_id)
    result, _ = analysis.analyse(day(20))
    quotes = [quote for topic in result.findings.topics for quote in topic.examples]
    assert quotes and not any(quote.trace for quote in quotes)


def test_a_slow_rise_that_no_single_day_shows_is_found_and_said(analysis: Analysis, world: World) -> None:
    analysis.alarm_windows = 10**300  # silences the daily test, so that only the trend's is tested
    generator = np.random.default_rng(5)
    results = []
    for number in range(20, 50):
        rows = world.sample(300, generator, jitter=0.15, new=0.003 * (number - 20))
        fill(analysis.lake, day(number), rows)
        results.append(analysis.analyse(day(number))[0])
        if results[-1].alert:
            break
    last = results[-1]
    assert (last.alert, last.verdict) == (True, "drift")
    assert any(trend.rising for trend in last.trends.values())
    assert last.metrics()["NovelTrendEvidence"] == last.trends["novelty"].gathered
    html = render(last, results)
    assert ">rising</span>" in html and "within a year is at most" in html


def test_the_sentence_of_a_rise_names_both_shares() -> None:
    trend = Trend(0.08, 0.02, 10.0, history=[0.01] * 20 + [0.08] * 7, evidence=[20.0])
    said = wording.sentence(Findings(), alert=True, unusual=False, trends={"coverage": trend})
    assert said == (
        "More and more queries are far from every document: 8 % of those of the last 7 windows, 2.0 % usually."
    )


def test_texts_in_a_report_are_escaped(analysis: Analysis, world: World) -> None:
    rows = world.sample(300, np.random.default_rng(20), new=0.3)
    fill(analysis.lake, day(20), rows, ["<script>alert(1)</script> dents"] * 300)
    result, _ = analysis.analyse(day(20))
    assert "<script>" not in render(result, [result])


def test_a_window_is_not_analysed_twice_unless_it_changed_or_one_insists(
    analysis: Analysis, world: World
) -> None:
    fill(analysis.lake, day(20), world.sample(300, np.random.default_rng(20)))
    first, _ = analysis.analyse(day(20))
    for place in PLACES:
        first = analysis.published(first, place)
    again, is_new = analysis.analyse(day(20))
    assert (again, is_new) == (first, False)
    assert analysis.analyse(day(20), again=True)[1]
    put(
        analysis.lake,
        day(20),
        [interaction(day(20), 900, world.sample(1, np.random.default_rng(1))[0])],
        "late",
    )
    later, is_new = analysis.analyse(day(20))
    assert (later.rows, is_new) == (301, True)


def test_a_window_that_is_not_over_is_analysed_again(analysis: Analysis, world: World) -> None:
    fill(analysis.lake, day(20), world.sample(300, np.random.default_rng(20)))
    analysis.now = lambda: day(20).start + timedelta(hours=3)
    assert analysis.analyse(day(20))[0].partial
    assert analysis.analyse(day(20))[1]


@pytest.mark.parametrize(
    ("rows", "session", "reason"),
    [
        (0, None, "0 usable rows, of at least 100"),
        (1, None, "1 usable rows, of at least 100"),
        (300, "one user", "too few sessions: they fill 1 of 32 blocks"),
    ],
)
def test_too_little_is_said_to_be_too_little(
    analysis: Analysis, world: World, rows: int, session: str | None, reason: str
) -> None:
    changes = {"session_id": session} if session else {}
    fill(analysis.lake, day(20), world.sample(rows, np.random.default_rng(20), new=0.5), **changes)
    result, _ = analysis.analyse(day(20))
    assert (result.verdict, result.p_value, result.alert) == ("not enough data", None, False)
    assert reason in result.sentence
    assert "Not enough data" in render(result, [result])


def test_everything_that_was_wrong_with_a_window_is_a_line_of_its_report(
    analysis: Analysis, world: World
) -> None:
    window, rows = day(20), world.sample(300, np.random.default_rng(20), jitter=0.15)
    rows[0, 3], rows[1, 0], rows[2] = np.nan, np.inf, 0
    rows[3:33] = rows[33]  # one vector many times
    records = [interaction(window, n, row) for n, row in enumerate(rows)]
    odd = [
        records[50],  # delivered twice in the object
        interaction(window, 400, None),
        interaction(window, 401, rows[60], embedding=Embedding.encode("other", rows[60])),
        interaction(window, 402, rows[60][:24]),
        interaction(window, 403, rows[60], started_at="2031-01-01T00:00:00.000000Z"),  # a clock that jumped
    ]
    key = put(analysis.lake, window, [*records, *odd], "a")
    lines = gzip.decompress(analysis.lake.read(key) or b"") + b"{ no JSON\n"
    analysis.lake.write(key, gzip.compress(lines))
    put(analysis.lake, window, records[60:90], "b")  # delivered again, in another object
    cut = put(analysis.lake, window, records, "c")
    analysis.lake.write(cut, (analysis.lake.read(cut) or b"")[:5000])
    result, _ = analysis.analyse(window)
    assert {name: result.checks[name] for name in CHECKS if name in result.checks} == {
        "unreadable": 1,
        "repeated": 1,
        "wrong_clock": 1,
        "no_embedding": 1,
        "other_model": 1,
        "other_dimension": 1,
        "not_finite": 2,
        "zero": 1,
        "corrupt_objects": 1,
    }
    assert result.rows == 297 + 30
    assert result.repeated_share == pytest.approx(30 / 327)
    html = render(result, [result])
    for name, text in CHECKS.items():
        if name in result.checks:
            assert f"<td>{text}</td>" in html, name
    assert cut in html
    assert "records that another object had too" in html and "vectors that another query had too" in html
    assert "embedding model <code>other</code>" in html


def test_a_baseline_of_another_version_is_a_report_that_says_what_to_do(
    analysis: Analysis, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(analysis.lake, day(20), world.sample(300, np.random.default_rng(20)))
    monkeypatch.setattr("fmops.analysis.state.FORMAT", 99)
    result, is_new = analysis.analyse(day(20))
    assert (result.verdict, result.alert, is_new) == ("incomparable", True, True)
    assert (
        "has format 2, this version reads 99: fit the baseline again (make analyse FIT=1)" in result.sentence
    )
    assert "fit the baseline again" in render(result, [])
    assert analysis.store.state("b1", "2026-09-01") is None


def test_another_embedding_model_is_incomparable_and_no_drift(analysis: Analysis, world: World) -> None:
    rows = world.sample(300, np.random.default_rng(20))
    put(
        analysis.lake,
        day(20),
        [
            interaction(day(20), n, row, embedding=Embedding.encode("new-model", row))
            for n, row in enumerate(rows)
        ],
    )
    result, _ = analysis.analyse(day(20))
    assert (result.verdict, result.p_value, result.alert) == ("incomparable", None, True)
    assert "of new-model, the baseline's are of titan: they cannot be compared" in result.sentence
    assert result.metrics()["Incomparable"] == 1


def test_a_few_rows_of_another_model_are_only_counted(analysis: Analysis, world: World) -> None:
    rows = world.sample(310, np.random.default_rng(20))
    records = [
        interaction(day(20), n, row, **({"embedding": Embedding.encode("other", row)} if n < 10 else {}))
        for n, row in enumerate(rows)
    ]
    put(analysis.lake, day(20), records)
    result, _ = analysis.analyse(day(20))
    assert (result.rows, result.checks["other_model"]) == (300, 10)
    assert "embeddings of another model" in render(result, [result])


def test_a_baseline_of_mixed_models_is_refused(tmp_path: Path) -> None:
    lake, world = usual_days(tmp_path, 2)
    rows = world.sample(50, np.random.default_rng(1))
    put(
        lake,
        day(1),
        [interaction(day(1), n, row, embedding=Embedding.encode("other", row)) for n, row in enumerate(rows)],
        "b",
    )
    with pytest.raises(BaselineError, match="has embeddings of other, titan: choose days with one of them"):
        Analysis(lake).fit(START, START + timedelta(days=2))
    with pytest.raises(BaselineError, match="no interaction with an embedding between 2027-01-01"):
        Analysis(lake).fit(LATER, LATER + timedelta(days=1))


def test_without_a_baseline_it_says_what_is_asked_and_when_there_will_be_one(tmp_path: Path) -> None:
    lake, _ = usual_days(tmp_path, 3, rows=60)
    result, _ = Analysis(lake, now=lambda: LATER).analyse(day(2))
    assert (result.verdict, result.rows, result.p_value) == ("no baseline", 60, None)
    assert "fitted once 14 windows in a row have interactions" in result.reason
    assert "nothing yet to compare" in render(result, [result])


def test_the_first_baseline_is_fitted_when_there_is_enough(tmp_path: Path) -> None:
    lake, _ = usual_days(tmp_path, 5)
    analysis = Analysis(lake, baseline_windows=4, now=lambda: LATER)
    result, _ = analysis.analyse(day(4))
    fitted = analysis.store.baseline()
    assert fitted is not None
    assert (result.baseline, result.null) == (fitted.version, "sessions")
    assert fitted.window_ids == [day(n).id for n in range(4)]


def test_evidence_grows_with_surprise_and_falls_back_to_one() -> None:
    assert evidence(0.5) < 1 < evidence(0.01) < evidence(0.001)
    assert accumulate(50.0, None) == 50.0
    assert accumulate(0.01, 0.9) == evidence(0.9)
    generator = np.random.default_rng(1)
    assert np.mean([evidence(p) for p in generator.random(200_000)]) < 1.3
