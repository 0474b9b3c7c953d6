"""The time that the local AWS takes to check one call against its role's policies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from timeit import timeit
from typing import Any

from checks.bench.report import entry, publish
from local.aws.iam.evaluator import Statement, evaluate, parse

ROUNDS = 2_000


def main() -> int:
    statements = _task_role()
    arn = "arn:aws:s3:::nothing/that/is/granted"
    # A call that nothing allows looks at every statement.
    seconds = timeit(lambda: evaluate(statements, "s3:DeleteObject", arn, {}), number=ROUNDS) / ROUNDS
    against = f"{len(statements)} statements, none of which allows it"
    publish({"iam.evaluate_ms": entry(seconds * 1000, "ms", "<= 2", against, ROUNDS)})
    return 0


def _task_role() -> list[Statement]:
    """Return the task role's policy of dev, with its references as text, since their values do not
    affect the time."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "CDK_OUTDIR": directory, "CDK_VALIDATION": "false"}
        subprocess.run([sys.executable, "app.py"], env=environment, check=True, capture_output=True)
        template = json.loads((Path(directory) / "Assistant.template.json").read_text())
    policy = next(
        resource["Properties"]["PolicyDocument"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy" and name.startswith("AppTaskRole")
    )
    resolved: Any = json.loads(json.dumps(policy), object_hook=_as_text)
    return parse("policy", resolved)


def _as_text(node: dict[str, Any]) -> Any:
    (key, *more) = node
    return "arn:aws:s3:::something" if not more and (key == "Ref" or key.startswith("Fn::")) else node


if __name__ == "__main__":
    sys.exit(main())
