"""The shipped datasets, and their versions in MLflow: one MLflow dataset per version, which is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow.genai.datasets import create_dataset, search_datasets

from fmops import written
from fmops.agent import CASES, LABELS
from fmops.evaluation.cases import (
    GAPS_KEY,
    REVIEWED_KEY,
    Case,
    ReviewedCase,
    digest,
    load,
    of_reviewed,
    parse,
)


def golden(path: Path = CASES) -> list[Case]:
    """Return the golden cases. Raises ``DatasetError``, which names every bad row."""
    return load(path, Case)


def labelled(path: Path = LABELS) -> list[ReviewedCase]:
    """Return answers that people have labelled, to measure judges by."""
    return load(path, ReviewedCase)


def corrected(s3: Any, bucket: str) -> list[Case]:
    """Return what people corrected in review, as cases: an answer that was wrong must not be given again.

    Empty until the review job has written some. Raises ``DatasetError``, which names every bad row.
    """
    text = _stored(s3, bucket, REVIEWED_KEY)
    rows = parse(text, ReviewedCase, name=REVIEWED_KEY) if text is not None else []
    return list(of_reviewed(row for row in rows if row.corrected_answer))


def closed(s3: Any, bucket: str) -> list[Case]:
    """Return the cases of coverage gaps for which people published a document: it must be found from now on.

    Empty until there is one. Raises ``DatasetError``, which names every bad row.
    """
    text = _stored(s3, bucket, GAPS_KEY)
    return parse(text, Case, name=GAPS_KEY) if text is not None else []


def _stored(s3: Any, bucket: str, key: str) -> str | None:
    try:
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return written.decode(data, key)


def publish(cases: Sequence[Case], *, name: str, experiment_id: str) -> str:
    """Return the name of the version in MLflow that holds exactly these cases; create it if it is missing."""
    version = f"{name}-{digest(cases)}"
    if not list(search_datasets(filter_string=f"name = '{version}'", max_results=1)):
        made = create_dataset(
            name=version,
            experiment_id=experiment_id,
            tags={"version": digest(cases), "cases": str(len(cases))},
        )
        made.merge_records(
            [
                {
                    "inputs": {"case_id": case.case_id, "caller": case.caller, "question": case.question},
                    "expectations": {
                        "expected": case.expected.model_dump(mode="json", exclude_defaults=True)
                    },
                    "tags": {"kind": case.kind, "source": case.source},
                }
                for case in cases
            ]
        )
    return version
