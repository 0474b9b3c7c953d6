"""The terminal of a run: a line for each part when it ends, and at the end what failed and where to look."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from local.run.report import Problem, Report, Section

SHOWN = 10
"""Maximum problems that are printed where they are found, and again at the end; the report has them all."""
WIDEST = 400
"""Maximum characters of a problem on the terminal."""
NARROWEST, USUAL_WIDTH = 20, 80
"""Minimum columns of a terminal, and the columns that are assumed for one that claims to have fewer."""
HELD, FAILED, NOTE = "✓", "✗", "-"
ASCII = {HELD: "ok", FAILED: "FAILED", NOTE: "-"}


def terminal(file: IO[str] | None = None) -> Console:
    """Return a console for people: with colours and a line of progress on a terminal, and without any control
    character in a file, a pipe, a log of CI, or with ``NO_COLOR``."""
    out = file or sys.stdout
    plain = (
        bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown") or not out.isatty()
    )
    if plain:
        console = Console(file=out, color_system=None, force_terminal=False, highlight=False, soft_wrap=True)
    else:
        console = Console(file=out, highlight=False, soft_wrap=True)
    if console.width < NARROWEST:
        console.width = USUAL_WIDTH  # Rich prints nothing at all where COLUMNS is 0.
    return console


class Progress:
    """Prints the parts of a run, and keeps them for its report. The report is written to ``path`` at the end."""

    def __init__(self, console: Console, report: Report, path: Path) -> None:
        self.console = console
        self.report = report
        self.path = path
        self._began = time.monotonic()
        self._shown = 0
        self._status: Status | None = None
        self._running: list[str] = []
        self._lock = threading.RLock()
        self._concluded = False
        self._ascii = not (console.encoding or "").lower().startswith("utf")

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def step(self, title: str, remedy: str = "") -> Iterator[Section]:
        """Do a part of the run, which writes to the section, and print its line when it ends.

        Several threads may do parts at the same time. An exception ends the run: it is printed at the end, by ``stop``.
        ``remedy`` is where to look if something failed.
        """
        with self._lock:
            section = self.report.section(title, remedy)
        began = time.monotonic()
        self._show(title)
        try:
            yield section
        finally:
            section.seconds = time.monotonic() - began
            self._hide(title)
        with self._lock:
            self._print_section(section)

    def _show(self, title: str) -> None:
        """Name a part in the line of progress."""
        with self._lock:
            self._running.append(title)
            if self._status is None:
                self._status = self.console.status("")
                self._status.start()
            self._name_running()

    def _hide(self, title: str) -> None:
        with self._lock:
            self._running.remove(title)
            if self._status and not self._running:
                self._status.stop()
                self._status = None
            self._name_running()

    def _name_running(self) -> None:
        self.tell(", ".join(self._running))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take the line of progress away for as long as another program prints."""
        if self._status is None:
            yield
            return
        self._status.stop()
        yield
        self._status.start()

    def tell(self, doing: str) -> None:
        """Replace the line of progress, which only a terminal shows."""
        with self._lock:
            if self._status is not None:
                self._status.update(Text(f"{doing} …"))

    def say(self, text: str | Text, mark: str = "", style: str = "") -> None:
        """Print a line. It is never wrapped, so that addresses in it can be copied or opened."""
        line = Text()
        if mark:
            line.append(ASCII[mark] if self._ascii else mark, style=style).append(" ")
        line.append(text)
        if self._ascii:
            line = Text(line.plain.encode("ascii", "replace").decode())
        self.console.print(line, soft_wrap=True, highlight=False)

    def conclude(self, invitation: str = "") -> None:
        """Write the report and print the last lines: that everything held and ``invitation``, or what failed and
        what to do."""
        self._write()
        self._concluded = True
        problems = list(self.report.problems())
        if not problems:
            self.say(f"everything held, in {self.elapsed:.0f} s", HELD, "green")
            self.say(f"Report: {self.path}")
        if invitation:
            self.say(invitation)
        if problems:
            count = "1 expectation" if len(problems) == 1 else f"{len(problems)} expectations"
            self.say(f"{count} did not hold, in {self.elapsed:.0f} s:", FAILED, "bold red")
            self._repeat(problems)
            self.say(f"Report: {self.path}")

    def stop(self, why: str) -> None:
        """Print why the run cannot go on, with everything that failed before, and write the report."""
        before = list(self.report.problems())
        begun = bool(self.report.sections)
        self.report.section("the end of the run").fail(why)
        if begun:
            self._write()
        if before and not self._concluded:
            self._repeat(before)
        self.say(why, FAILED, "red")
        if begun:
            self.say(f"Report: {self.path}")

    def _repeat(self, problems: Sequence[tuple[Section, Problem]]) -> None:
        """Print problems, each remedy once, below the last of its problems."""
        for number, (section, problem) in enumerate(problems[:SHOWN], 1):
            self.say(f"  {section.title}: {_short(problem.text)}")
            following = problems[number][1].remedy if number < min(len(problems), SHOWN) else ""
            if problem.remedy and problem.remedy != following:
                self.say(f"      {problem.remedy}")
        if len(problems) > SHOWN:
            self.say(f"  and {len(problems) - SHOWN} more, which the report lists")

    def _print_section(self, section: Section) -> None:
        failed = bool(section.problems)
        line = Text(section.title)
        if section.found:
            line.append(f": {section.found}")
        line.append(f"  {section.seconds:.1f} s", style="dim")
        self.say(line, FAILED if failed else HELD, "red" if failed else "green")
        for note in section.notes:
            self.say(note, NOTE, "yellow")
        for problem in section.problems:
            self._show_at_once(problem)

    def _show_at_once(self, problem: Problem) -> None:
        self._shown += 1
        if self._shown <= SHOWN:
            self.say(f"    {_short(problem.text)}")
        elif self._shown == SHOWN + 1:
            self.say("    and more, which the report lists")

    def _write(self) -> None:
        self.report.seconds = self.elapsed
        self.report.write(self.path)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
