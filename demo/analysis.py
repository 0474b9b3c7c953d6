"""The embedding analysis of the captured records, run by the deployed state machine as its schedule would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from rich.markup import escape

from demo import history
from demo.visit import Visit
from ops.jobs import JobError, follow

LINK_SECONDS = 12 * 3600
LATEST = "analysis/content/reports/latest"


def chapter(visit: Visit) -> list[str]:
    """Analyse today's records, and the new topic's days of the history, and print what the report says."""
    visit.console.print("[bold]Analysing what people ask[/]")
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
    _show(visit, run, result, _link(s3, bucket))
    return [*_problems(results[-1]), *(_no_drift(result) if visit.history else ())]


def _show(visit: Visit, run: str, result: dict[str, Any], link: str) -> None:
    findings = result["findings"]
    visit.console.print(f"  {escape(result['sentence'])} [dim]{escape(result['reason'])}[/]", highlight=False)
    for gap in findings["gaps"][:3]:
        quote = gap["examples"][0]["text"]
        similarity = f" (similarity {gap['similarity']:.2f})" if gap["similarity"] is not None else ""
        visit.console.print(f"  far from every document{similarity}: “{escape(quote[:90])}”", highlight=False)
    visit.console.print(
        f"  {len(result['for_review'])} interactions handed to review; run {run}, {result['seconds']:.1f} s",
        highlight=False,
    )
    visit.console.print(f"  report: {link}", highlight=False, soft_wrap=True)


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
