"""The result of the analysis for one window: the versioned file behind the report."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from fmops.analysis.document_drift import DocumentDrift
from fmops.analysis.findings import Findings
from fmops.analysis.trend import Trend

SCHEMA_VERSION = 1
Engine = Literal["embedded", "spark"]
Place = Literal["report", "cloudwatch", "mlflow"]
PLACES: tuple[Place, ...] = get_args(Place)
"""Places where a result is published, in order of publication."""
Verdict = Literal["drift", "usual", "unusual", "not enough data", "no baseline", "incomparable"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class PartResult(_Part):
    """One kind of difference from the baseline."""

    statistic: float
    p_value: float
    adjusted: float


class ReviewSignal(_Part):
    """An interaction for people to look at; review sampling reads these lines (`fmops.review.model.DriftSignal`)."""

    interaction_id: str
    kind: Literal["outlier", "new_topic", "coverage_gap"]
    detail: str = ""


class WindowResult(_Part):
    """The comparison of one window with the baseline and with the window before.

    ``p_value`` is None when nothing can be said; ``reason`` says why. ``evidence`` runs over windows: without
    drift, an alarm comes on average once in the configured number of windows, however often one looks.
    """

    schema_version: int = SCHEMA_VERSION
    window: str
    start: str
    end: str
    partial: bool = Field(default=False, description="the window had not ended when it was analysed")
    baseline: str = ""
    model_id: str = ""
    engine: Engine = "embedded"
    verdict: Verdict
    alert: bool = False
    sentence: str
    reason: str = ""
    description: str = Field(default="", description="by a language model, if one was asked")
    rows: int = 0
    p_value: float | None = None
    previous_p_value: float | None = None
    null: str = ""
    evidence: float = 1.0
    parts: dict[str, PartResult] = {}
    trends: dict[str, Trend] = Field(default={}, description="trends of novelty and of coverage over windows")
    findings: Findings = Findings()
    documents: DocumentDrift | None = Field(
        default=None, description="what changed in the documents; None if they are in the image"
    )
    mmd2: float = 0.0
    cosine_distance: float = Field(default=0.0, description="cosine distance of the mean vectors")
    checks: dict[str, int] = {}
    models: dict[str, int] = {}
    bad_objects: list[str] = []
    duplicate_share: float = 0.0
    repeated_share: float = 0.0
    objects: int = 0
    bytes: int = 0
    seconds: float = 0.0
    for_review: list[ReviewSignal] = []
    unpublished: tuple[Place, ...] = Field(
        default=(), description="where the result is still to be published"
    )

    def metrics(self) -> dict[str, float]:
        """Return the numbers by their names in CloudWatch and MLflow."""
        found = self.findings
        numbers: dict[str, float | None] = {
            "Rows": self.rows,
            "Drift": float(self.alert),
            "DriftEvidence": self.evidence,
            "DriftPValue": self.p_value,
            "NovelShare": found.novel_share,
            "CoverageGapShare": found.gap_share,
            "NovelTrendEvidence": _gathered(self.trends.get("novelty")),
            "CoverageTrendEvidence": _gathered(self.trends.get("coverage")),
            "TopicTotalVariation": found.total_variation,
            "MeanCosineDistance": self.cosine_distance,
            "Mmd2": self.mmd2,
            "NewTopics": len(found.new_topics),
            "Incomparable": float(self.verdict == "incomparable"),
            "DuplicateShare": self.duplicate_share,
            "RepeatedShare": self.repeated_share,
            "CorruptObjects": self.checks.get("corrupt_objects", 0),
            **_of_documents(self.documents),
        }
        return {name: float(value) for name, value in numbers.items() if value is not None}


def _of_documents(drift: DocumentDrift | None) -> dict[str, float]:
    if drift is None:
        return {}
    return {
        "DocumentDrift": float(drift.alert),
        "DocumentsAdded": len(drift.added),
        "DocumentsRemoved": len(drift.removed),
        "DocumentsMoved": len(drift.moved),
        "DocumentsUnreached": drift.unreached_count,
        "PassagesGoneShare": drift.gone_share,
        "QuestionsLostShare": drift.lost_share,
    }


def _gathered(trend: Trend | None) -> float | None:
    return trend.gathered if trend else None
