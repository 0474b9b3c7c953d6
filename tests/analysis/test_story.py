"""Traffic of the demo's domain, shortened: a new topic is reported and named on its first day, a known
surge is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.bench import drift_story as story
from fmops.analysis.lake import DirectoryLake


def test_a_new_topic_is_found_in_its_week_and_a_known_swell_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: (stems, things[:4]) for name, (stems, things) in list(story.TOPICS.items())[:8]}
    monkeypatch.setattr(story, "TOPICS", few)
    monkeypatch.setattr(story, "OPENINGS", story.OPENINGS[:4])
    monkeypatch.setattr(story, "BASELINE_WEEKS", 3)
    monkeypatch.setattr(story, "SWELL_WEEKS", (2, 4))
    monkeypatch.setattr(story, "NEW_WEEK", 5)
    lake = DirectoryLake(tmp_path)
    story.write(lake, weeks=5, per_day=170)
    results = story.analyse(lake, weeks=5)
    swell = [result for result in results if story.week_of(result) == 4]
    after = [result for result in results if story.week_of(result) == 5]
    assert [result.window for result in swell if result.alert] == []
    assert after[0].alert or after[1].alert
    named = [result for result in after if result.alert]
    assert all("battery" in result.sentence for result in named)
    assert all(result.findings.new_topics[0].since >= "2026-09-28" for result in named)
