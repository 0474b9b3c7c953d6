"""The analysis's store in the data lake.

Below the prefix (`analysis`), `baseline.json` names the baseline in use; `baselines/` and `states/` hold
numbers and the vectors of examples. `content/` holds everything that quotes people: reports, texts and results,
which expire when interactions do.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass

from fmops.analysis.baseline import Baseline
from fmops.analysis.lake import Lake
from fmops.analysis.result import WindowResult
from fmops.analysis.state import State, StateError

HTML = "text/html; charset=utf-8"
SUMMARY = frozenset(
    {"window", "start", "end", "partial", "baseline", "verdict", "alert", "sentence", "reason", "rows"}
)
"""Fields of a result that `latest.json` has beside `latest.html`, for readers that show only the outcome."""

UNCOMPARED = ("not enough data", "no baseline")


@dataclass(frozen=True)
class Store:
    """The store of one deployment's analysis."""

    lake: Lake
    prefix: str = "analysis"

    def in_use(self) -> str | None:
        """Return the version of the baseline in use."""
        pointer = self.lake.read(self._key("baseline.json"))
        return str(json.loads(pointer)["version"]) if pointer else None

    def baseline(self) -> Baseline | None:
        """Return the baseline in use. Raises ``BaselineError`` or ``StateError`` when another version wrote it
        in its own format."""
        version = self.in_use()
        if version is None:
            return None
        data = self.lake.read(self._key("baselines", f"{version}.npz"))
        if data is None:
            return None
        return Baseline.from_bytes(data, self._texts("baseline", version))

    def save_baseline(self, baseline: Baseline) -> None:
        """Save a baseline and put it in use."""
        version = baseline.version
        self.lake.write(self._key("baselines", f"{version}.npz"), baseline.to_bytes())
        self._save_texts("baseline", version, baseline.state)
        pointer = {
            "version": version,
            "model_id": baseline.reference.model_id,
            "windows": baseline.window_ids,
        }
        self.lake.write(
            self._key("baseline.json"), json.dumps(pointer).encode(), content_type="application/json"
        )

    def state(self, version: str, window_id: str) -> State | None:
        """Return a window's state; None if it is missing or from another version of this program, as if it had
        never been analysed."""
        data = self.lake.read(self._key("states", version, f"{window_id}.npz"))
        try:
            return State.from_bytes(data, self._texts(version, window_id)) if data else None
        except StateError:
            return None

    def save_state(self, version: str, window_id: str, state: State) -> None:
        self.lake.write(self._key("states", version, f"{window_id}.npz"), state.to_bytes())
        self._save_texts(version, window_id, state)

    def result(self, version: str, window_id: str) -> WindowResult | None:
        data = self.lake.read(self._key("content", "results", version, f"{window_id}.json"))
        return WindowResult.model_validate_json(data) if data else None

    def results(self, version: str) -> list[WindowResult]:
        """Return the baseline's results, oldest first."""
        keys = sorted(key for key, _ in self.lake.list(self._key("content", "results", f"{version}/")))
        return [WindowResult.model_validate_json(data) for key in keys if (data := self.lake.read(key))]

    def save_result(self, version: str, result: WindowResult) -> None:
        key = self._key("content", "results", version, f"{result.window}.json")
        self.lake.write(key, result.model_dump_json(indent=1).encode(), content_type="application/json")

    def save_report(self, result: WindowResult, html: str, plot: str) -> str:
        """Save a window's report and return its key.

        The last one saved is also there as `latest.html`, with its plot and its outcome beside it; but a window
        that is not over and has too little to compare does not replace a comparison.
        """
        key = self._key("content", "reports", f"{result.window}.html")
        outcome = result.model_dump_json(include=set(SUMMARY))
        latest = {"html": (html, HTML), "svg": (plot, "image/svg+xml"), "json": (outcome, "application/json")}
        self.lake.write(key, html.encode(), content_type=HTML)
        if result.partial and result.verdict in UNCOMPARED and self._compared_last():
            return key
        for kind, (text, content_type) in latest.items():
            name = self._key("content", "reports", f"latest.{kind}")
            self.lake.write(name, text.encode(), content_type=content_type)
        return key

    def _compared_last(self) -> bool:
        outcome = self.lake.read(self._key("content", "reports", "latest.json"))
        return outcome is not None and json.loads(outcome)["verdict"] not in UNCOMPARED

    def save_for_review(self, result: WindowResult) -> str:
        """Save the interactions that people should look at, as JSON lines of `interaction_id`, `kind` and
        `detail`; return the key."""
        key = self._key("content", "review", f"{result.window}.jsonl")
        lines = "".join(item.model_dump_json() + "\n" for item in result.for_review)
        self.lake.write(key, lines.encode(), content_type="application/x-ndjson")
        return key

    def _texts(self, version: str, name: str) -> dict[str, str]:
        data = self.lake.read(self._key("content", "texts", version, f"{name}.json.gz"))
        texts: dict[str, str] = json.loads(gzip.decompress(data)) if data else {}
        return texts

    def _save_texts(self, version: str, name: str, state: State) -> None:
        packed = gzip.compress(json.dumps(state.texts()).encode(), mtime=0)
        self.lake.write(self._key("content", "texts", version, f"{name}.json.gz"), packed)

    def _key(self, *parts: str) -> str:
        return "/".join([self.prefix, *parts])
