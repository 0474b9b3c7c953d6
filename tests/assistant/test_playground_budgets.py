"""Budgets in the playground: who pays for a try."""

from __future__ import annotations

import asyncio

from fastapi.testclient import TestClient
from moto import mock_aws

from fmops.budgets import Unit
from fmops.identity.tokens import Pseudonyms
from tests.assistant.playground import CASE, MODELS, Bench, playground_app
from tests.conversation.test_budgets import KEY, Metered


@mock_aws()
def test_tries_in_the_playground_are_paid_by_who_makes_them() -> None:
    it, bench = Metered({"user": {"usd_per_day": 0.0012}}), Bench()
    account = f"user#{Pseudonyms(KEY).user('petra')}"
    body = {
        "case_id": CASE,
        "variants": [{"template": "Polite prompt.", "model_id": model} for model in MODELS],
    }
    headers = {"authorization": "Bearer petra"}
    with TestClient(playground_app(bench, bench, turn_budgets=it.conversation._turn_budgets)) as client:
        assert client.post("/v1/playground/tries", json=body, headers=headers).status_code == 200
        it.budgets._threads.submit(lambda: None).result()
        asyncio.run(it.budgets.drain())
        assert len(bench.asked) == 2
        # Fifteen tokens each, at the prices of each model.
        assert it.used(account) == {Unit.REQUESTS: 2, Unit.TOKENS: 30, Unit.MONEY: 39 + 2}
        while (refusal := client.post("/v1/playground/tries", json=body, headers=headers)).status_code == 200:
            asyncio.run(it.budgets.drain())
    asyncio.run(it.budgets.drain())
    assert refusal.status_code == 429
    assert refusal.json()["error"]["code"] == "insufficient_quota"
    assert refusal.headers["x-should-retry"] == "false"
    assert it.used(account)[Unit.MONEY] <= 1_200
    assert it.table.holds() == 0
