"""A budgets table in moto, whose updates of an item line up as DynamoDB's do, and which can fail on the way
there or back."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter as Tally
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from fmops.budgets import Unit

NAME = "budgets"
NOON = 1_795_867_200.0
"""2026-11-28T12:00:00Z"""


_numbers = itertools.count()


@cache
def _client() -> Any:
    """Return one client for all tables, since creating one takes longer than most tests."""
    return boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        # Tests with a local AWS leave its address in this process.
        config=Config(ignore_configured_endpoint_urls=True),
    )


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def create(client: Any, name: str) -> None:
    """Create the table of counters, with the keys that ``constructs/budgets_table.py`` gives it."""
    keys = {"account": "HASH", "period": "RANGE"}
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


class Table:
    """The part of a DynamoDB client that budgets use. Call it within ``moto.mock_aws``."""

    def __init__(self, *, loses: float = 0.0, seed: int = 0, away: bool = False) -> None:
        self.client, self.name = _client(), f"{NAME}-{next(_numbers)}"
        create(self.client, self.name)
        self.loses, self.away = loses, away
        self.calls: Tally[str] = Tally()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def update_item(self, **request: Any) -> Any:
        """Apply the update once, and again if the answer is lost, as botocore's retries do."""
        request["TableName"] = self.name
        with self._lock:
            self.calls["asked"] += 1
            if self.away:
                raise EndpointConnectionError(endpoint_url="https://dynamodb")
            lost = self._random.random()
            if lost < self.loses / 2:
                self.calls["never arrived"] += 1
                raise EndpointConnectionError(endpoint_url="https://dynamodb")
            if lost < self.loses:
                self.calls["answer lost"] += 1
                try:
                    self.client.update_item(**request)
                except self.client.exceptions.ConditionalCheckFailedException:
                    pass
                if self._random.random() < 0.5:
                    raise ReadTimeoutError(endpoint_url="https://dynamodb")
            return self.client.update_item(**request)

    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return every item by its key."""
        found = self.client.scan(TableName=self.name)["Items"]
        return {(item["account"]["S"], item["period"]["S"]): item for item in found}

    def used(self, account: str, period: str) -> dict[Unit, int]:
        """Return the sums of a counter."""
        item = self.items().get((account, period), {})
        return {unit: int(item.get(unit.value, {}).get("N", 0)) for unit in Unit}

    def holds(self) -> int:
        """Return how many reservations stand."""
        return sum(name.startswith("hold#") for item in self.items().values() for name in item)
