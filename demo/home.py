"""The home page as an operator sees it: every part answers, and what it leads to opens."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import httpx

from demo import metrics
from demo.script import script
from demo.visit import Visit
from local.run.report import Section

PATIENCE = 60
"""Maximum seconds until every part has answered: the first reading of MLflow loads its client."""
ADDRESSES = ("mlflow", "report")
ALERTS = "dashboards"
"""Card that shows the alerts of Managed Prometheus."""


def chapter(visit: Visit, section: Section) -> list[str]:
    """Look at the page, follow its addresses, and return the expectations that did not hold."""
    headers = {"authorization": f"Bearer {visit.directory.id_token(script().operator)}"}
    no_alerts = metrics.unanswered(visit)
    if no_alerts:
        section.notes.append(f"home page: without alerts. {no_alerts}")
    with httpx.Client(base_url=f"{visit.base_url}/v1", headers=headers, timeout=60) as client:
        cards = read(client, without={ALERTS} if no_alerts else frozenset())
        problems = [
            f"home page: {name} could not be read: {card['state']['unread']}"
            for name, card in cards.items()
            if _unread(card) and not (name == ALERTS and no_alerts)
        ]
        section.found = f"{len(cards)} cards answer to {script().operator}"
        section.say(f"The home page, as {script().operator}: {', '.join(cards)}")
        outcome = cards["report"]["state"] or {}
        section.say(f"{outcome.get('verdict')}: {outcome.get('sentence')}")
        for name in ADDRESSES:
            address = client.post(f"/home/{name}").raise_for_status().json()["url"]
            if not httpx.get(address, timeout=60, follow_redirects=True).is_success:
                problems.append(f"home page: the address of {name} does not open")
    return problems


def read(client: httpx.Client, without: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the page's cards by name, once every part has answered but those ``without`` one, or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = client.get("/home").raise_for_status().json()
        cards = {card["name"]: card for card in answer["cards"]}
        late = [name for name, card in cards.items() if _unread(card) and name not in without]
        if not late or time.monotonic() > deadline:
            return cards
        time.sleep(0.2)


def _unread(card: dict[str, Any]) -> bool:
    return "unread" in (card["state"] or {})
