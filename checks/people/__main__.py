"""``python -m checks.people``: use the pages of a local run as people do, in a real browser.

The run must be serving, as `make run` leaves it. Exits with 1 if something cannot be done, if axe finds something
serious, or if the browser complains.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from checks.people.eyes import Eyes
from demo import browser


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.people", description=__doc__)
    parser.add_argument("--url", default=os.environ.get("FMOPS_ASSISTANT_URL", "http://localhost:8080"))
    parser.add_argument("--pictures", type=Path, help="folder for pictures of every page and state")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    found = browser.find()
    if found is None:
        console.print(f"There is no browser here: {browser.REMEDY}.")
        return 2
    # Only where there is a browser, since Playwright comes with it.
    from playwright.sync_api import Error

    from checks.people.walk import Walk

    eyes = Eyes(arguments.pictures)
    with browser.opened(found) as opened:
        try:
            Walk(opened, arguments.url, eyes, lambda said: console.print(f"✓ {said}")).run()
        except (AssertionError, Error) as failure:
            eyes.problems.append(f"the walk ended: {failure}")
    for problem in eyes.problems:
        console.print(f"✗ {problem}")
    console.print(f"{eyes.looked} looks at pages, {len(eyes.problems)} problems")
    return 1 if eyes.problems else 0


if __name__ == "__main__":
    sys.exit(main())
