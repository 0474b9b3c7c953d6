"""The sign-in page says of the demo's users only what the policies permit."""

from __future__ import annotations

import re

from demo.accounts import load
from demo.who_can import who_can

OPEN_AMOUNT = 1_200_000


def test_what_is_said_of_payouts_is_what_the_policies_permit() -> None:
    said = {
        user: match and int(re.sub(r"\D", "", match[1]))
        for user, profile in load()["users"].items()
        for match in [re.search(r"pays out up to ([\d,.]+\d)", profile["about"])]
    }
    assert said["amir"] == 500_000
    assert sum(bool(limit) for limit in said.values()) == 2
    for user, limit in said.items():
        # No claim has so much open that it would show the limit of the one who may pay out most.
        largest = min(limit or 1, OPEN_AMOUNT)
        for amount, allowed in ((largest, bool(limit)), (largest + 1, False)):
            answers = who_can("approve_payout", "C-1001", {"amount": amount})
            (answer,) = [each for each in answers if each.user == user]
            assert answer.allowed == allowed, (user, amount)
