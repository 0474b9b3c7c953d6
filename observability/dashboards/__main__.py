"""``python -m observability.dashboards``: write the dashboards' JSON, and a page that shows them with
a run's metrics."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from observability.dashboards import dashboards
from observability.dashboards.cloudwatch import CloudWatch
from observability.dashboards.preview import page
from observability.dashboards.prometheus import NoMetricsError, opened


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m observability.dashboards", description=__doc__)
    parser.add_argument(
        "--prometheus",
        help="Prometheus's URL; by default that of `make run`, or the data that its last run left behind",
    )
    parser.add_argument(
        "--cloudwatch",
        action="store_true",
        help="also draw the jobs' metrics in CloudWatch, with the AWS credentials and region of the environment",
    )
    parser.add_argument("--output", type=Path, default=Path("build/dashboards"))
    arguments = parser.parse_args()
    built = dashboards()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for uid, dashboard in built.items():
        (arguments.output / f"{uid}.json").write_text(json.dumps(dashboard, indent=1))
    preview = arguments.output / "preview.html"
    try:
        metrics = CloudWatch(boto3.client("cloudwatch")) if arguments.cloudwatch else None
        with opened(arguments.prometheus) as prometheus:
            preview.write_text(page(list(built.values()), prometheus, metrics))
    except NoMetricsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return 1
    except (BotoCoreError, ClientError) as error:
        print(  # noqa: T201 - the command's output
            f"CloudWatch cannot be read ({error}): sign in to AWS and set AWS_REGION; LOCAL=1 needs a local run that"
            " is serving",
            file=sys.stderr,
        )
        return 1
    print(f"{preview.resolve()}")  # noqa: T201 - the command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
