"""A real browser for the pages that people use: the one on PATH, or else the one that `make` installs from
npm.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGED = Path(__file__).resolve().parents[1] / ".venvs" / "browser"
VARIABLE = "FMOPS_BROWSER"
"""Environment variable with the path of another browser, or `none` for no browser."""
REMEDY = "install Chromium, such as by `apt-get install chromium`"


@dataclass(frozen=True, slots=True)
class Browser:
    """A Chromium program, and the environment variables that it needs besides ours."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Browser | None:
    """Return the browser to drive, or ``None`` if there is none or Playwright is missing."""
    if importlib.util.find_spec("playwright") is None:
        return None
    if wanted := os.environ.get(VARIABLE):
        return None if wanted == "none" else Browser(wanted)
    if path := next((path for name in NAMES if (path := shutil.which(name))), None):
        return Browser(path)
    return packaged(PACKAGED)


def packaged(directory: Path) -> Browser | None:
    """Return the browser that `demo.browser_package` unpacked into ``directory``, or ``None`` if there is
    none.
    """
    program = directory / "chromium"
    if not program.exists():
        return None
    libraries = [str(directory / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return Browser(
        str(program),
        {"LD_LIBRARY_PATH": ":".join(libraries), "FONTCONFIG_FILE": str(directory / "fonts.conf")},
    )


@contextmanager
def opened(browser: Browser) -> Iterator[Any]:
    """Start the browser without a window (`playwright.sync_api.Browser`), and close it at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=browser.path, args=["--no-sandbox"], env={**os.environ, **browser.environment}
        )
        try:
            yield started
        finally:
            started.close()


def sign_in(page: Any, name: str) -> None:
    """Sign a user in on the page that is open, by the local AWS's sign-in page, which lists the users."""
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=re.compile(rf"^{re.escape(name)}\b")).click()
    page.locator("#who", has_text=name).wait_for()
