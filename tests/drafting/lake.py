"""A lake with the report of an analysis that found a gap, as the analysis itself stores it, and a documents bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fmops.analysis.findings import Cluster, Findings, Quote
from fmops.analysis.lake import S3Lake
from fmops.analysis.result import WindowResult
from fmops.analysis.store import Store
from fmops.evaluation.cases import REVIEWED_KEY, Label, ReviewedCase, dump

LAKE, DOCUMENTS = "lake-of-the-test", "documents-of-the-test"
QUESTIONS = ("Is a fire of an e-bike battery insured?", "My battery burnt the cellar: who pays?")
IDS = (f"int-{1:032x}", f"int-{2:032x}")
CORRECTION = "Fires of e-bike batteries are covered up to 3,000.00."


@contextmanager
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a client of S3 with both buckets."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        for bucket in (LAKE, DOCUMENTS):
            client.create_bucket(Bucket=bucket)
        yield client


def report(
    s3: Any, questions: tuple[str, ...] = QUESTIONS, *, baseline: str = "", share: float = 0.3
) -> None:
    """Store the report of a day on which people asked these questions, which no document answers."""
    small = Cluster(
        0.01, 0.0, 1, ["umbrella"], [Quote("int-9", "Is my umbrella insured?", 0.1)], 0.1, 0.0, 0.0
    )
    quotes = [Quote(each, text, 0.2) for each, text in zip(IDS, questions, strict=False)]
    gap = Cluster(share, 0.0, 40, ["battery", "bike"], quotes, 0.21, 0.0, 0.0)
    result = WindowResult(
        window="2026-11-27",
        start="2026-11-27T00:00:00Z",
        end="2026-11-28T00:00:00Z",
        verdict="drift",
        sentence="People ask about batteries.",
        baseline=baseline,
        findings=Findings(gaps=[small, gap]),
    )
    store = Store(S3Lake(LAKE, s3))
    store.save_result(baseline or "none", result)
    store.save_report(result, "<p>report</p>", "<svg/>")


def corrected(s3: Any) -> None:
    """Store what reviewers said of the gap's first answer, and of another."""
    label = Label(criterion="correctness", value=False, reviewer="r")
    rows = [
        ReviewedCase(case_id=case, question="?", answer="No.", corrected_answer=answer, labels=[label])
        for case, answer in ((IDS[0], CORRECTION), ("int-7", "Of something else."))
    ]
    s3.put_object(Bucket=LAKE, Key=REVIEWED_KEY, Body=dump(rows).encode())


def keys(s3: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
