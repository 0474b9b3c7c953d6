"""The counters over HTTP on the local AWS, with botocore's own client: concurrent reservations never
exceed a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmops.budgets import Amount, BudgetExceeded, Budgets, BudgetSettings, CounterTable, Limits, accounts
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from tests.budgets.table import create


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with LocalAws(port=0, enforce=False, directory=tmp_path, run_servers=False) as running:
        yield running


async def test_a_hundred_at_once_never_exceed_the_limit_of_any_scope(cloud: Cloud) -> None:
    client = cloud.client("dynamodb")
    create(client, "budgets")
    # Two instances, as in two tasks.
    tasks = [Budgets(CounterTable(client, "budgets"), clock=lambda: 1_795_867_200.0) for _ in range(2)]
    settings = BudgetSettings(
        user=Limits(tokens_per_day=1_050),
        team=Limits(tokens_per_day=2_050),
        deployment=Limits(tokens_per_day=2_950),
    )
    people = [
        accounts(settings, f"u{number % 5}", {"ab"[number % 2]: "ab"[number % 2]}) for number in range(100)
    ]
    found = await asyncio.gather(
        *(tasks[number % 2].reserve(mine, Amount(1, 100, 10)) for number, mine in enumerate(people)),
        return_exceptions=True,
    )
    taken = [each for each in found if not isinstance(each, BaseException)]
    assert all(isinstance(each, BudgetExceeded) for each in found if isinstance(each, BaseException))
    for each in tasks:
        await each.drain()
    sums = {
        item["account"]["S"]: int(item["tokens"]["N"]) for item in client.scan(TableName="budgets")["Items"]
    }
    assert sums["deployment"] == 100 * len(taken) <= 2_900
    assert sums["team#a"] + sums["team#b"] == sums["deployment"]
    assert all(tokens <= 1_000 for account, tokens in sums.items() if account.startswith("user#"))
    assert len(taken) >= 20


def test_a_greeting_leaves_nothing_in_the_table(cloud: Cloud) -> None:
    client = cloud.client("dynamodb")
    create(client, "budgets")
    CounterTable(client, "budgets").greet()
    assert client.scan(TableName="budgets")["Items"] == []
