"""The demo's data, as it is written to the table."""

from __future__ import annotations

from demo.accounts import load
from demo.seed import items


def test_people_customers_and_claims_become_items_with_their_owners() -> None:
    data = load()
    subjects = {name: f"sub-{name}" for name in data["users"]}
    made = {(item["kind"], item["id"]): item for item in items(data, subjects)}
    assert made["claim", "C-1001"]["claimant"] == "sub-carla"
    assert made["claim", "C-1004"]["siu_hold"] is True
    assert made["claim", "C-1001"]["siu_hold"] is False
    assert made["person", "sub-sam"]["suspended"] is True
    assert made["person", "sub-carla"]["suspended"] is False
