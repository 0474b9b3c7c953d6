"""A detector of your own, as docs/guardrails.md shows it."""

import re

from fmops.guardrails import Category, Finding
from fmops.guardrails.detectors.base import Context, Detector


class Codenames(Detector):
    """Finds the names of projects that nobody outside may hear of."""

    categories = frozenset({Category.CUSTOM_PATTERN})
    in_process = True

    def detect(self, texts: list[str], context: Context) -> list[list[Finding]]:
        return [
            [Finding(Category.CUSTOM_PATTERN, 1.0, *match.span()) for match in re.finditer("Bluebird", text)]
            for text in texts
        ]
