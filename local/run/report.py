"""The report of a run: one HTML page without scripts or outside addresses, with the tables and texts for which a
terminal has no room."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

TEMPLATE = "report.html.j2"
_CONSOLE = Console(file=io.StringIO(), color_system="truecolor", no_color=False)
"""Console that only splits text into its styles; nothing is printed."""
_CLASSES = {"red": "bad", "green": "good", "yellow": "warn"}

Said = str | Text
"""Plain text, or text with styles and links."""


@dataclass(frozen=True)
class Problem:
    """An expectation that did not hold, and what to do about it or where to look."""

    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Block:
    """A part of a section: a paragraph, a list, or a table. The template shows them by ``kind``."""

    kind: str
    content: Any
    title: str = ""


@dataclass(eq=False)
class Section:
    """A part of a run: its line on the terminal, and its chapter in the report.

    ``found`` describes in some words what it found; ``notes`` are what people should know although nothing failed.
    """

    title: str
    found: str = ""
    remedy: str = ""
    """Place to look if something of it failed, unless a problem has a remedy of its own."""
    links: bool = True
    """Whether addresses are links; those of a deployment that has stopped lead nowhere."""
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def say(self, text: Said) -> None:
        """Add a paragraph."""
        self.blocks.append(Block("paragraph", self._html(text)))

    def itemize(self, lines: Iterable[Said], title: str = "") -> None:
        """Add a list."""
        self.blocks.append(Block("list", [self._html(line) for line in lines], title))

    def table(self, table: Table) -> None:
        """Add a table; texts of its cells are markup, as on a console."""
        columns = [self._html(_text(column.header)) for column in table.columns]
        cells = ([self._html(_text(cell)) for cell in column.cells] for column in table.columns)
        rows = zip(*cells, strict=True)
        numbers = [column.justify == "right" for column in table.columns]
        title = _text(table.title or "").plain
        content = {"columns": columns, "rows": list(rows), "numbers": numbers}
        self.blocks.append(Block("table", content, title))

    def fail(self, text: str, remedy: str = "") -> None:
        """Add an expectation that did not hold."""
        self.problems.append(Problem(text, remedy or self.remedy))

    def _html(self, said: Said) -> str:
        """Return HTML of a text: its colours as classes, and its links as links."""
        text = said if isinstance(said, Text) else Text(said)
        return "".join(_piece(each.text, each.style, self.links) for each in text.render(_CONSOLE))


@dataclass
class Report:
    """The sections of a run, in order. ``serves`` says that its addresses still answer after the report."""

    title: str
    serves: bool = True
    sections: list[Section] = field(default_factory=list)
    seconds: float = 0.0
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def section(self, title: str, remedy: str = "") -> Section:
        """Add a section, and return it."""
        self.sections.append(Section(title, remedy=remedy, links=self.serves))
        return self.sections[-1]

    def problems(self) -> Iterator[tuple[Section, Problem]]:
        """Yield every expectation that did not hold, with its section."""
        for section in self.sections:
            for problem in section.problems:
                yield section, problem

    def page(self) -> str:
        """Return the page."""
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            autoescape=select_autoescape(default=True, default_for_string=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template(TEMPLATE)
        return template.render(report=self, problems=list(self.problems()))

    def write(self, path: Path) -> None:
        """Write the page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.page(), encoding="utf-8")


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def _piece(text: str, style: Style | None, links: bool) -> str:
    shown = html.escape(text)
    if style is None:
        return shown
    names = [_CLASSES[style.color.name]] if style.color and style.color.name in _CLASSES else []
    names += ["soft"] if style.dim else []
    if names:
        shown = f'<span class="{" ".join(names)}">{shown}</span>'
    if style.bold:
        shown = f"<b>{shown}</b>"
    if links and style.link and style.link.startswith(("http://", "https://")):
        shown = f'<a href="{html.escape(style.link)}" rel="noreferrer">{shown}</a>'
    return shown
