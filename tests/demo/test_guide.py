"""The demo's terminal: a line for each chapter, failures again at the end, and every table in the report alone."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.table import Table

from demo import __main__ as smoke
from demo import analysis, documents, evaluation, gaps, guide, home, leftovers, metrics, review
from demo.tour import Step, Tour
from demo.visit import Chapter, Visit
from fmops.written import UnreadableFileError
from local.run.progress import Progress, terminal
from local.run.report import Report, Section
from tests.pages import serious

ASSISTANT = {"FMOPS_AUTHORIZATION_MODE": "ENFORCE", "FMOPS_GUARDRAILS": "profanity"}
CHAPTERS = (analysis, review, evaluation, documents, gaps, metrics, leftovers, home)
FAILING = "finish reason stop, not content_filter"


class Names:
    """Gives users their names for tokens."""

    def id_token(self, username: str) -> str:
        return username


class Evidence:
    """Evidence that is complete at once, with a record of each step."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.problems: list[str] = []
        self.objects = ["a", "b"]
        self.records: dict[str, dict[str, Any]] = {}
        self.segments: dict[str, list[Any]] = {"t": [{}]}

    def complete(self, _: Any) -> bool:
        return True

    def gather(self, steps: list[Step]) -> None:
        decision = {"action": "pay", "resource": 'ClaimsDesk::Claim::"C-1"', "decision": "DENY", "duration_ms": 1,
                    "reason": "forbidden", "determining_policies": ["forbid-all"], "enforced": True}  # fmt: skip
        guardrail = {"direction": "input", "action": "block", "detector": "checks"}
        self.records = {
            f"int-{number}": {
                "interaction_id": f"int-{number}",
                "user": "carla",
                "trace_id": f"trace-{number}",
                "started_at": "2026-01-01T00:00:00Z",
                "authorization": [decision],
                "guardrails": [guardrail],
            }
            for number, _ in enumerate(steps)
        }


def chapter(module: Any, problems: int) -> Chapter:
    """Return a chapter in place of a module's, which found as many problems."""

    def run(_: Visit, section: Section) -> list[str]:
        section.found = f"what {module.__name__} found"
        section.say(f"The text of {module.__name__}")
        return [f"the expectation {number} of {module.__name__}" for number in range(problems)]

    run.__module__ = module.__name__
    return run


Guided = Callable[..., tuple[bool, list[str], str]]


@pytest.fixture
def guided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guided:
    """Return a function that runs the demo with recorded answers, and returns whether it held, its lines, and its
    report."""

    class Recorded:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def assistant_environment(self) -> dict[str, str]:
            return ASSISTANT

    def run(
        failing: int = 0, problems: int = 0, logs: str = "build/local/logs"
    ) -> tuple[bool, list[str], str]:
        def send(tour: Tour) -> None:
            for step in tour.steps:
                step.answer, step.finish = "I cannot do that. [/]", "stop"
            for step in tour.steps[:failing]:
                step.problems.append(FAILING)
            tour.refusals = [("a request without a token", True)]

        out = io.StringIO()
        progress = Progress(terminal(out), Report("Local run"), tmp_path / "report.html")
        monkeypatch.setattr(guide, "Deployment", Recorded)
        monkeypatch.setattr(guide, "Evidence", Evidence)
        monkeypatch.setattr(guide.seed, "copied", lambda *_: nullcontext())
        monkeypatch.setattr(guide.tracking, "log", lambda *_: "run-1")
        monkeypatch.setattr(guide.tracking, "load", lambda: None)
        monkeypatch.setattr(guide.why, "explain", lambda *_, **__: [])
        monkeypatch.setattr(Tour, "run", send)
        outputs: Any = {"Assistant": {"RecordsTableName": "t"}, "Tracking": {"MlflowArn": "arn"}}
        visit = Visit("http://localhost:8080", outputs, Names(), progress, logs)
        held = guide.guide(visit, chapters=(tuple((chapter(module, problems),) for module in CHAPTERS),))
        progress.conclude("Open http://localhost:8080")
        return held, out.getvalue().splitlines(), progress.path.read_text()

    return run


def test_a_demo_that_holds_is_a_line_for_each_chapter(guided: Guided) -> None:
    held, lines, page = guided()
    assert held and all(line.startswith("✓ ") for line in lines[:-2])
    assert len(lines) == 4 + len(CHAPTERS) + 3
    assert lines[0].startswith("✓ tour: 39 of 39 requests as expected, 1 of 1 bad ones refused")
    assert lines[-1] == "Open http://localhost:8080"
    tables = ("Requests, decisions and answers", "Guardrails: decisions by direction", "Audit: one decision",
              "Denials by action")  # fmt: skip
    for title in tables:
        assert f"<caption>{title}" in page
        assert not any(title in line for line in lines)
    assert all(f"The text of {module.__name__}" in page for module in CHAPTERS)


def test_each_failed_step_is_printed_with_its_problem_and_stands_at_the_end_with_what_to_do(
    guided: Guided,
) -> None:
    held, lines, page = guided(failing=2)
    assert not held
    assert lines[0].startswith("✗ tour: 37 of 39 requests as expected")
    assert [FAILING in line for line in lines[1:3]] == [True, True]
    end = next(number for number, line in enumerate(lines) if "2 expectations did not hold" in line)
    assert [FAILING in line for line in lines[end + 1 : end + 3]] == [True, True]
    assert "demo/tour.yaml" in lines[end + 3] and "build/local/logs/assistant.log" in lines[end + 3]
    assert lines[end + 4].startswith("Report: ") and len(lines) == end + 5
    assert page.count(FAILING) >= 4


def test_the_lanes_of_a_part_run_at_the_same_time_and_a_part_after_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, done = threading.Barrier(2, timeout=30), []

    def meets(visit: Visit, section: Section) -> list[str]:
        both.wait()  # passes only if another lane waits at the same time
        done.append("first part")
        return []

    def follows(visit: Visit, section: Section) -> list[str]:
        return [] if done == ["first part", "first part"] else ["it did not wait"]

    monkeypatch.setattr(
        guide, "_tour", lambda *_, **__: (SimpleNamespace(table=Table, steps=[]), Section("tour"))
    )
    monkeypatch.setattr(guide, "_evidence", lambda *_: None)
    monkeypatch.setattr(guide, "_decisions", lambda *_: None)
    monkeypatch.setattr(guide.why, "explain", lambda *_, **__: [])
    progress = Progress(terminal(io.StringIO()), Report("Local run"), tmp_path / "report.html")
    visit = Visit("http://localhost:8080", {"Assistant": {}}, Names(), progress, "logs")
    assert guide.guide(visit, chapters=(((meets,), (meets,)), ((follows,),)))


@pytest.mark.parametrize("module", CHAPTERS)
def test_what_a_chapter_expected_names_its_log(guided: Guided, module: Any) -> None:
    held, lines, _ = guided(problems=1)
    assert not held
    at = next(
        i for i, line in reversed(list(enumerate(lines))) if f"expectation 0 of {module.__name__}" in line
    )
    remedy = next(line for line in lines[at:] if line.startswith("      "))
    assert "build/local/logs/" in remedy
    _, lines, _ = guided(problems=1, logs="")
    assert not any("build/local/logs" in line for line in lines)


def test_with_everything_failing_it_still_fits_a_screen(guided: Guided) -> None:
    held, lines, page = guided(failing=39, problems=30)
    assert not held and len(lines) <= 50
    assert all(f"the expectation 29 of {module.__name__}" in page for module in CHAPTERS)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("failing", [0, 3])
def test_the_report_can_be_read_by_everybody_on_a_phone_too(
    browser: Any, guided: Guided, tmp_path: Path, scheme: str, failing: int
) -> None:
    guided(failing=failing)
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"ask": "?", "expect": {}}, "step 3 has no 'as': add it"),
        (
            {"as": "carla", "ask": "?", "expect": {}, "spel": 1},
            "step 3: got an unexpected keyword argument 'spel'",
        ),
        ({"as": "carla"}, "step 3: missing 2 required positional arguments: 'ask' and 'expect'"),
        ("carla", "step 3: "),
    ],
)
def test_a_wrong_step_of_the_tour_is_named(entry: Any, said: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"tour\.yaml: step 3") as refused:
        Step.parse(entry, 3)
    assert said in str(refused.value)


def test_an_assistant_that_goes_away_during_a_smoke_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def leave(_: str, __: Any, progress: Progress, ___: Any) -> bool:
        with progress.step("tour") as section:
            section.fail("step 1 came out otherwise")
        raise httpx.ReadTimeout("")

    monkeypatch.setattr(smoke, "stack_outputs", lambda _: {})
    monkeypatch.setattr(smoke, "check_reachable", lambda _: None)
    monkeypatch.setattr(smoke, "_seeded", leave)
    monkeypatch.setattr(smoke, "REPORT", tmp_path / "smoke.html")
    monkeypatch.setattr("sys.argv", ["demo", "--url", "http://localhost:9"])
    assert smoke.main() == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "  tour: step 1 came out otherwise",
        "✗ http://localhost:9 stopped answering (ReadTimeout): read the assistant's log",
        f"Report: {tmp_path / 'smoke.html'}",
    ]
