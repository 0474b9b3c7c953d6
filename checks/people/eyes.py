"""Checks of a page in every look: serious findings of axe, complaints of the browser, and width; with pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "desktop-light": (DESKTOP, "light"),
    "desktop-dark": (DESKTOP, "dark"),
    "phone-light": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
RUN_AXE = "() => axe.run(document, { resultTypes: ['violations'] })"


@dataclass
class Eyes:
    """Looks at pages in every size and colour scheme, and keeps what is wrong with them.

    ``pictures`` is the folder for PNG files, which are named after the page and the look; none are made without it.
    """

    pictures: Path | None = None
    problems: list[str] = field(default_factory=list)
    looked: int = 0

    def watch(self, page: Any) -> None:
        """Keep every error that the browser reports: refusals by the content security policy, and faults in scripts."""
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", lambda message: self._complained(message.type, message.text))

    def look(self, page: Any, name: str) -> None:
        """Check the page as it is shown now, in every look."""
        for look, (size, scheme) in LOOKS.items():
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            self._check(page, f"{name} ({look})")
            self.keep(page, f"{name}-{look}")
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")

    def keep(self, page: Any, name: str) -> None:
        """Keep a picture of the page as it is shown now, if pictures are kept."""
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=self.pictures / f"{name}.png", animations="disabled")

    def _check(self, page: Any, where: str) -> None:
        self.looked += 1
        self.problems += [f"{where}: {finding}" for finding in serious(page)]
        if (wider := page.evaluate(WIDER)) > 0:
            self.problems.append(f"{where}: {wider} pixels wider than the screen")

    def _complained(self, kind: str, text: str) -> None:
        # A refused request is an answer that pages show; the network's own line about it is no fault.
        if kind == "error" and "Failed to load resource" not in text:
            self.problems.append(f"console: {text}")


def serious(page: Any) -> list[str]:
    """Return axe's serious and critical findings on the page as it is shown now, with the elements."""
    # In the page's own world but past its policy, which lets no other script run: as an evaluation by the debugger.
    page.evaluate(AXE.read_text("utf-8"))
    return [
        " ".join(f"{each['id']} ({each['impact']}): {node['target']}: {node['failureSummary']}".split())
        for each in page.evaluate(RUN_AXE)["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
