"""Counters in DynamoDB: one item for each account and window, changed by single conditional updates.

An item holds the amounts spent and, as an attribute of its own, each open reservation. One update makes a
reservation, adding its amount, if there is room; one update ends it, adding the difference to what was spent. A
repeated update therefore finds that it was applied, and a reservation whose process died is dropped by whoever
needs its room.

Transactions are not used: two that change one item at once cancel each other, and every turn changes the
deployment's item. Single updates of an item queue instead, at about a thousand per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from fmops.budgets.accounts import Account
from fmops.budgets.amounts import Amount, Unit
from fmops.budgets.windows import Window

HOLD_SECONDS = 900
"""Seconds that a reservation lives: longer than any model call, and as long as a request may take on Lambda.
"""
MARK_SECONDS = 3_600
"""Seconds that a mark lives which shows that a late settlement was applied."""
SKEW_SECONDS = 60
"""Largest difference between the clocks of two tasks, in seconds."""
KEEP_SECONDS = 2 * 86_400
"""Seconds that a counter stays after its window's end, until DynamoDB deletes it."""
DROPPED_AT_ONCE = 20
HOLD = "hold#"
"""Prefix of the names of attributes that are reservations."""
UNITS = tuple(Unit)
_NAMES = {f"#{unit.value}": unit.value for unit in UNITS}

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Counter:
    """An account's counter in one window."""

    account: Account
    window: Window
    period: str
    ends: float

    @property
    def limits(self) -> Mapping[Unit, int]:
        return self.account.limits[self.window]

    @property
    def key(self) -> dict[str, Any]:
        return {"account": {"S": self.account.key}, "period": {"S": self.period}}


@dataclass(frozen=True)
class Refusal:
    """A limit that leaves too little room. ``used`` includes reserved amounts."""

    counter: Counter
    unit: Unit
    used: int
    needed: int

    @property
    def limit(self) -> int:
        return self.counter.limits[self.unit]

    @property
    def fits_never(self) -> bool:
        """Return whether the request needs more than the whole limit."""
        return self.needed > self.limit


@dataclass(frozen=True)
class Hold:
    """A reservation in one counter."""

    counter: Counter
    name: str
    amount: Amount
    expires: int
    used: Mapping[Unit, int] = field(default_factory=dict)
    """Sums of the counter after the reservation, including everything that is reserved."""

    @property
    def attribute(self) -> str:
        return HOLD + self.name

    @property
    def text(self) -> str:
        return _text(self.amount, self.expires)


class QueueFullError(Exception):
    """A limit leaves no room for a reservation."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("the budget leaves no room")
        self.refusal = refusal


class CounterTable:
    """Change counters. Every change may be repeated, by botocore or by a caller, and counts once.

    Methods raise boto3's errors when DynamoDB does not answer.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def greet(self) -> None:
        """Open a connection with an update that changes nothing, so that nobody's first turn waits for it."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"account": {"S": "nobody"}, "period": {"S": "never"}},
                UpdateExpression="REMOVE nothing",
                ConditionExpression="attribute_exists(account)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def reserve(self, counter: Counter, reservation: str, amount: Amount, now: float) -> Hold:
        """Count ``amount`` as spent until it is settled. Raises ``QueueFullError``."""
        for unit, limit in counter.limits.items():
            # A condition cannot add, so the remaining room is computed here; it would be negative.
            if amount.of(unit) > limit:
                raise QueueFullError(Refusal(counter, unit, 0, amount.of(unit)))
        hold = Hold(counter, reservation, amount, int(now) + HOLD_SECONDS)
        while True:
            try:
                item = self._add(hold, hold.text, amount, condition=_room(counter, amount))
            except _Unmet as unmet:
                if hold.attribute in unmet.item:
                    return _held(hold, unmet.item)
                if self._without_expired(counter, unmet.item, now) is unmet.item:
                    raise QueueFullError(_refusal(counter, amount, unmet.item)) from None
            else:
                return _held(hold, self._without_expired(counter, item, now))

    def settle(self, hold: Hold, actual: Amount, now: float) -> Mapping[Unit, int]:
        """End a reservation with what was spent, whatever the limits say; return the counter's sums
        afterwards.
        """
        if now >= hold.expires:
            return self.settle_uncertain(hold, actual, now)
        try:
            item = self._change(
                hold.counter,
                "REMOVE #hold",
                actual - hold.amount,
                "attribute_exists(#hold)",
                {"#hold": hold.attribute},
            )
        except _Unmet as unmet:
            # An earlier attempt was applied, since only expired reservations are dropped.
            item = unmet.item
        return _used(item)

    def settle_uncertain(self, hold: Hold, actual: Amount, now: float) -> Mapping[Unit, int]:
        """Settle a reservation that may never have been made, or may have been dropped as expired.

        A mark replaces it for a while, to distinguish both cases from an attempt that was applied.
        """
        mark = _text(Amount(), int(now) + MARK_SECONDS)
        try:
            item = self._change(
                hold.counter,
                "SET #hold = :mark",
                actual - hold.amount,
                "#hold = :held",
                {"#hold": hold.attribute},
                {":mark": {"S": mark}, ":held": {"S": hold.text}},
            )
        except _Unmet as unmet:
            item = unmet.item
            if hold.attribute not in item:
                try:
                    item = self._add(hold, mark, actual)
                except _Unmet as applied:
                    item = applied.item
        return _used(item)

    def _add(
        self, hold: Hold, text: str, amount: Amount, condition: tuple[str, dict[str, Any]] = ("", {})
    ) -> Item:
        room, values = condition
        return self._change(
            hold.counter,
            "SET #hold = :hold, #expires = :expires",
            amount,
            " AND ".join(filter(None, ["attribute_not_exists(#hold)", room])),
            {"#hold": hold.attribute, "#expires": "expires_at"},
            {
                ":hold": {"S": text},
                ":expires": {"N": str(int(hold.counter.ends) + KEEP_SECONDS)},
                **values,
            },
        )

    def _without_expired(self, counter: Counter, item: Item, now: float) -> Item:
        """Give back the expired reservations of processes that died. Return the item afterwards, or ``item`` if
        there were none."""
        expired = _expired(item, now)[:DROPPED_AT_ONCE]
        if not expired:
            return item
        names = {f"#h{number}": name for number, (name, _) in enumerate(expired)}
        try:
            return self._change(
                counter,
                f"REMOVE {', '.join(names)}",
                Amount() - sum((_amount(text) for _, text in expired), Amount()),
                " AND ".join(f"#h{number} = :h{number}" for number in range(len(expired))),
                names,
                {f":h{number}": {"S": text} for number, (_, text) in enumerate(expired)},
            )
        except _Unmet as faster:
            return faster.item

    def _change(
        self,
        counter: Counter,
        update: str,
        amount: Amount,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any] | None = None,
    ) -> Item:
        added = ", ".join(f"#{unit.value} :{unit.value}" for unit in UNITS)
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=counter.key,
                UpdateExpression=f"{update} ADD {added}",
                ConditionExpression=condition,
                ExpressionAttributeNames={**_NAMES, **names},
                ExpressionAttributeValues={
                    **{f":{unit.value}": {"N": str(amount.of(unit))} for unit in UNITS},
                    **(values or {}),
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            found: Any = error.response.get("Item")
            raise _Unmet(found or {}) from None
        attributes: Item = answer["Attributes"]
        return attributes


class _Unmet(Exception):  # noqa: N818 - an answer, not a fault
    """The condition of an update did not hold for ``item``."""

    def __init__(self, item: Item) -> None:
        super().__init__("the condition does not hold")
        self.item = item


def _room(counter: Counter, amount: Amount) -> tuple[str, dict[str, Any]]:
    """Return the condition that the limits leave room for ``amount``, and its values. A cost of zero always has
    room."""
    bound = {unit: limit for unit, limit in counter.limits.items() if amount.of(unit)}
    conditions = [
        f"(attribute_not_exists(#{unit.value}) OR #{unit.value} <= :room_{unit.value})" for unit in bound
    ]
    values = {f":room_{unit.value}": {"N": str(limit - amount.of(unit))} for unit, limit in bound.items()}
    return " AND ".join(conditions), values


def _refusal(counter: Counter, amount: Amount, item: Item) -> Refusal:
    """Return the limit that is exceeded by the largest share of itself."""
    missed = {
        unit: (_number(item, unit) + amount.of(unit) - limit) / limit
        for unit, limit in counter.limits.items()
        if amount.of(unit)
    }
    unit = max(missed, key=lambda each: missed[each])
    return Refusal(counter, unit, _number(item, unit), amount.of(unit))


def _held(hold: Hold, item: Item) -> Hold:
    return Hold(hold.counter, hold.name, hold.amount, hold.expires, _used(item))


def _used(item: Item) -> dict[Unit, int]:
    return {unit: _number(item, unit) for unit in UNITS}


def _number(item: Item, unit: Unit) -> int:
    return int(item.get(unit.value, {}).get("N", 0))


def _text(amount: Amount, expires: int) -> str:
    """Return a reservation as an attribute's text: short, because DynamoDB bills an item by the KB."""
    return f"{expires}:{amount.requests}:{amount.tokens}:{amount.micro_usd}"


def _amount(text: str) -> Amount:
    return Amount(*(int(part) for part in text.split(":")[1:]))


def _expired(item: Item, now: float) -> list[tuple[str, str]]:
    return [
        (name, value["S"])
        for name, value in item.items()
        if name.startswith(HOLD) and int(value["S"].partition(":")[0]) + SKEW_SECONDS < now
    ]
