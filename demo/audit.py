"""The authorization decisions of the captured records: as audit events, and as a report of denials.

``python -m demo.audit --environment fmops-dev`` prints the report for a deployment in AWS.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fmops.agent import NAMESPACE
from fmops.deployment import DeploymentError

Records = Iterable[Mapping[str, Any]]


def events(records: Records, users: Mapping[str, str], *, base_url: str) -> Table:
    """Return one event of each kind of decision: who, tool, resource, outcome, policies, latency, trace.

    The trace is a link to the assistant's page Why.
    """
    table = Table(title="Audit: one decision of each kind", expand=True)
    for column in ("who", "action", "resource", "decision", "reason", "policies", "ms", "trace"):
        table.add_column(column, overflow="fold")
    seen = set()
    for record, decision in _decisions(records):
        policies = ", ".join(decision["determining_policies"])
        kind = (decision["action"], decision["reason"], policies, bool(decision.get("approval_id")))
        if kind in seen:
            continue
        seen.add(kind)
        who = users.get(record["interaction_id"], record["user"][:8])
        table.add_row(
            who,
            decision["action"],
            Text(decision["resource"].removeprefix(f"{NAMESPACE}::")),
            decision["decision"],
            decision["reason"],
            policies or "-",
            f"{decision['duration_ms']:.0f}",
            Text(
                record["trace_id"][:8],
                style=f"link {base_url}/why?trace={record['trace_id']}&at={record['started_at']}",
            ),
        )
    return table


def denials(records: Records) -> Table:
    """Return a table of the calls that were denied and, in ``LOG_ONLY``, of those that would have been. Look at
    it before you enforce new policies."""
    table = Table(title="Denials by action, reason and policy", expand=True)
    for column in ("action", "reason", "policies", "calls", "users", "stopped"):
        table.add_column(column, overflow="fold")
    counts: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for record, decision in _decisions(records):
        if decision["decision"] == "DENY":
            policies = ", ".join(decision["determining_policies"])
            stopped = "yes" if decision["enforced"] else "no: would have been"
            counts[decision["action"], decision["reason"], policies or "no permit", stopped].append(
                record["user"]
            )
    for (action, reason, policies, stopped), users in sorted(counts.items()):
        table.add_row(action, reason, policies, str(len(users)), str(len(set(users))), stopped)
    return table


def _decisions(records: Records) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for record in records:
        for decision in record["authorization"]:
            yield record, decision


def main() -> int:
    from demo.evidence import Evidence
    from demo.outputs import remedy, stack_outputs

    parser = argparse.ArgumentParser(prog="python -m demo.audit", description=denials.__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    arguments = parser.parse_args()
    try:
        records = Evidence(stack_outputs(arguments.environment)).read_lake()
    except (BotoCoreError, ClientError, DeploymentError) as error:
        print(remedy(error), file=sys.stderr)
        return 2
    Console().print(denials(records.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
