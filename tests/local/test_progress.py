"""A run's terminal is short and plain, and its report has everything else."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.run.progress import SHOWN, Progress, terminal
from local.run.report import Report

ROOT = Path(__file__).parents[2]
ADDRESS = "http://localhost:8080/approvals?" + "x" * 300
PARTS = 19
"""Number of parts of a run with the demo."""
A_RUN = f"""
from pathlib import Path
import sys
from local.run.progress import Progress, terminal
from local.run.report import Report
progress = Progress(terminal(), Report("Local run"), Path(sys.argv[1]))
with progress.step("tour") as section:
    progress.tell("tour: 1 of 2")
    section.found = "2 of 2 requests as expected"
    section.notes.append("it waits at {ADDRESS}")
progress.conclude("Open http://localhost:8080")
"""


def run(
    tmp_path: Path, *, problems: int = 0, serves: bool = True, remedies: bool = True
) -> tuple[Progress, str]:
    """Return the progress of a run whose parts have as many problems each, and what it printed."""
    out = io.StringIO()
    progress = Progress(terminal(out), Report("Local run", serves=serves), tmp_path / "report.html")
    for number in range(PARTS):
        with progress.step(f"part {number}") as section:
            section.found = "39 of 39 requests as expected"
            table = Table(title=f"Table {number}")
            table.add_column("what")
            table.add_column("count", justify="right")
            table.add_row(Text("a <b> & [c]"), str(1000 + number))
            section.table(table)
            section.say(Text.assemble("It waits at ", (ADDRESS, f"link {ADDRESS}")))
            section.itemize([f"line {number} [/] <script>alert(1)</script>"], "A list")
            for each in range(problems):
                section.fail(f"problem {number}.{each}", f"Read log {number}" if remedies else "")
    progress.conclude("Open http://localhost:8080" if serves else "")
    return progress, out.getvalue()


def test_a_run_that_held_prints_a_line_for_each_part_and_ends_with_one_address(tmp_path: Path) -> None:
    _, said = run(tmp_path)
    lines = said.splitlines()
    assert len(lines) == PARTS + 3
    assert all(line.startswith("✓ ") for line in lines[: PARTS + 1])
    assert lines[0].startswith("✓ part 0: 39 of 39 requests as expected")
    assert lines[-3].startswith("✓ everything held")
    assert lines[-2:] == [f"Report: {tmp_path / 'report.html'}", "Open http://localhost:8080"]


@pytest.mark.parametrize("problems", [1, 2, 40])
def test_however_much_fails_a_run_prints_at_most_60_lines_and_repeats_what_failed(
    tmp_path: Path, problems: int
) -> None:
    progress, said = run(tmp_path, problems=problems)
    lines = said.splitlines()
    assert len(lines) <= 60
    assert lines[-1] == f"Report: {tmp_path / 'report.html'}"
    last = said[said.index("did not hold") :]
    assert [f"problem {n}" in last for n in ("0.0", "0.1")] == [True, problems > 1]
    assert "      Read log 0" in last.splitlines()
    total = PARTS * problems
    assert f"✗ {total} expectations did not hold" in said
    assert f"and {total - SHOWN} more, which the report lists" in last
    page = progress.path.read_text()
    assert all(f"problem {part}.{each}" in page for part in range(PARTS) for each in range(problems))


def test_without_a_server_no_address_of_it_is_a_link(tmp_path: Path) -> None:
    progress, said = run(tmp_path, serves=False)
    assert "http" not in said and said.splitlines()[-1].startswith("Report: ")
    page = progress.path.read_text()
    assert 'href="http' not in page and ADDRESS in page
    assert "The run has ended" in page
    served, _ = run(tmp_path)
    assert f'href="{ADDRESS}"' in served.path.read_text()


def test_the_report_holds_every_table_and_text_as_text(tmp_path: Path) -> None:
    progress, said = run(tmp_path)
    page = progress.path.read_text()
    for number in range(PARTS):
        assert f"<caption>Table {number}</caption>" in page
        assert f'<td class="n">{1000 + number}</td>' in page
        assert f"line {number} [/] &lt;script&gt;" in page
    assert "a &lt;b&gt; &amp; [c]" in page
    assert "Table 0" not in said and "line 0" not in said


def test_the_report_is_one_file_without_scripts_and_outside_addresses(tmp_path: Path) -> None:
    progress, _ = run(tmp_path, serves=False)
    page = progress.path.read_text()
    assert not re.search(r"<script|<link|<img|src=|@import|url\(| on\w+=", page)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page


def test_a_run_that_ends_early_says_why_last_and_repeats_what_failed(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(terminal(out), Report("Local run"), tmp_path / "report.html")
    with progress.step("tour") as section:
        section.fail("step 7 came out otherwise", "Read the log")
    with pytest.raises(RuntimeError), progress.step("review"):
        raise RuntimeError
    progress.stop("the assistant ended\n    log: build/local/logs/assistant.log")
    lines = out.getvalue().splitlines()
    assert "✓ review" not in out.getvalue()
    assert lines[-5:] == [
        "  tour: step 7 came out otherwise",
        "      Read the log",
        "✗ the assistant ended",
        "    log: build/local/logs/assistant.log",
        f"Report: {tmp_path / 'report.html'}",
    ]
    assert "the assistant ended" in progress.path.read_text()


def test_before_anything_has_begun_there_is_no_report(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(terminal(out), Report("Local run"), tmp_path / "report.html")
    progress.stop("port 4566 is in use")
    assert out.getvalue() == "✗ port 4566 is in use\n"
    assert not progress.path.exists()


def in_a_terminal(tmp_path: Path, **environment: str) -> str:
    """Return what a run writes to a terminal of its own."""
    ours, its = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", A_RUN, str(tmp_path / "report.html")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
        stdout=its,
        stderr=its,
    )
    os.close(its)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux's end of a terminal
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    assert child.wait() == 0, pieces
    return b"".join(pieces).decode().replace("\r\n", "\n")


def in_a_pipe(tmp_path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", A_RUN, str(tmp_path / "report.html")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_a_terminal_gets_no_control_character(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert "\x1b" in in_a_terminal(tmp_path)
    assert_plain(in_a_terminal(tmp_path, **environment))


@pytest.mark.parametrize(
    "environment",
    [{}, {"CI": "true", "GITHUB_ACTIONS": "true"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "20"}, {"COLUMNS": "0"}],
)
def test_a_pipe_and_a_log_of_ci_get_no_control_character(tmp_path: Path, environment: dict[str, str]) -> None:
    assert_plain(in_a_pipe(tmp_path, **environment))


def assert_plain(said: str) -> None:
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", said) == []
    assert f"- it waits at {ADDRESS}\n" in said, "an address is never wrapped"
    assert said.endswith("Open http://localhost:8080\n")


@pytest.mark.parametrize("columns", ["0", "1", "10", "x"])
def test_a_terminal_that_is_narrow_wraps_no_address(tmp_path: Path, columns: str) -> None:
    said = in_a_terminal(tmp_path, COLUMNS=columns, LINES="1")
    assert "Traceback" not in said and ADDRESS in said


def test_where_no_tick_can_be_written_words_say_the_same(tmp_path: Path) -> None:
    said = in_a_pipe(tmp_path, PYTHONIOENCODING="ascii")
    assert said.startswith("ok tour: 2 of 2 requests as expected")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    progress = Progress(Console(file=out), Report("Local run"), tmp_path / "report.html")
    with progress.step("tour") as section:
        section.fail("“ä”")
    out.flush()
    written: Any = out.buffer
    assert written.getvalue().decode("ascii").startswith("FAILED tour")
