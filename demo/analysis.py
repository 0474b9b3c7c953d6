"""The embedding analysis of the captured records, run by the deployed state machine as its schedule would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from rich.text import Text

from demo import history
from demo.visit import Visit
from local.run.report import Section
from ops.jobs import JobError, follow

LINK_SECONDS = 12 * 3600
LATEST = "analysis/content/reports/latest"


def chapter(visit: Visit, section: Section) -> list[str]:
    """Analyse today's records, and the new topic's days of the history, and tell what the report says."""
    visit.settle()
    states = boto3.client("stepfunctions")
    today = datetime.now(UTC).date()
    first = today - timedelta(days=history.load().new.days) if visit.history else today
    given = {"arguments": ["--from", str(first), "--to", str(today + timedelta(days=1)), "--again"]}
    execution = states.start_execution(
        stateMachineArn=visit.outputs["Analysis"]["StateMachineArn"], input=json.dumps(given)
    )["executionArn"]
    try:
        run = follow(execution)
    except JobError as error:
        return [f"embedding analysis: {error}"]
    bucket = visit.outputs["Capture"]["LakeBucketName"]
    s3 = boto3.client("s3")
    results = [
        json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
        for item in s3.list_objects_v2(Bucket=bucket, Prefix="analysis/content/results/").get("Contents", [])
    ]
    if not results:
        return ["embedding analysis: it wrote no result"]
    latest = json.loads(s3.get_object(Bucket=bucket, Key=f"{LATEST}.json")["Body"].read())
    result = next(each for each in results if each["window"] == latest["window"])
    _show(section, run, result, _link(s3, bucket))
    return [*_problems(results[-1]), *(_no_drift(result) if visit.history else ())]


def _show(section: Section, run: str, result: dict[str, Any], link: str) -> None:
    section.found = result["sentence"].rstrip(".")
    section.say(Text.assemble(result["sentence"], " ", (result["reason"], "dim")))
    gaps = []
    for gap in result["findings"]["gaps"][:3]:
        similarity = f" (similarity {gap['similarity']:.2f})" if gap["similarity"] is not None else ""
        gaps.append(f"“{gap['examples'][0]['text'][:90]}”{similarity}")
    if gaps:
        section.itemize(gaps, "Far from every document")
    section.say(
        f"{len(result['for_review'])} interactions handed to review; run {run}, {result['seconds']:.1f} s"
    )
    section.say(Text("The report of the analysis", style=f"link {link}"))


def _link(s3: Any, bucket: str) -> str:
    """Return a link that opens in a browser: signed, and valid for twelve hours."""
    return str(
        s3.generate_presigned_url(
            "get_object",
            Params={"Bucket": bucket, "Key": f"{LATEST}.html"},
            ExpiresIn=LINK_SECONDS,
        )
    )


def _problems(result: dict[str, Any]) -> list[str]:
    problems = []
    if not result["rows"]:
        problems.append("embedding analysis: no captured interaction had an embedding")
    if result["bad_objects"]:
        problems.append(f"embedding analysis: could not read {', '.join(result['bad_objects'])}")
    return problems


def _no_drift(result: dict[str, Any]) -> list[str]:
    if result["verdict"] == "drift":
        return []
    return [
        f"embedding analysis: the history ends with a new topic, but the report says {result['verdict']!r}"
    ]
