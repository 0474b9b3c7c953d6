"""The hours of the lake, under which records lie by the arrival of the oldest record of their object.

So Firehose's guide says ("Custom prefixes for Amazon S3 objects"): an object that was begun at 23:59:30 holds
records of the next day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

LONGEST_BUFFER = timedelta(minutes=15)
"""Firehose collects for so long at most (`IntervalInSeconds`), whatever a deployment's setting is or was;
the construct allows no more.
"""


def earliest_hour(moment: datetime) -> datetime:
    """Return the first hour whose objects may hold a record that arrived at ``moment`` or later."""
    begun = moment.astimezone(UTC) - LONGEST_BUFFER
    return begun.replace(minute=0, second=0, microsecond=0)


def partition(hour: datetime) -> str:
    """Return the part of a key that names the hour; such parts sort by time."""
    return hour.astimezone(UTC).strftime("dt=%Y-%m-%d/hour=%H/")
