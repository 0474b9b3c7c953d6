"""The service desk's system of record: tickets, and the systems that people are given access to."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from fmops.toolkit.record_table import RecordTable


class NoSuchSystem(Exception):  # noqa: N818 - a business outcome, not a fault
    """No system has this id."""


class Records(RecordTable):
    """Tickets and systems."""

    def ticket(self, ticket_id: str) -> dict[str, Any] | None:
        return self.get("ticket", ticket_id)

    def system(self, system_id: str) -> dict[str, Any] | None:
        return self.get("system", system_id)

    def comment(self, ticket_id: str, author: str, text: str) -> None:
        self.update(
            "ticket",
            ticket_id,
            "SET comments = list_append(if_not_exists(comments, :none), :comment)",
            {":none": [], ":comment": [{"author": author, "text": text}]},
        )

    def grant(self, system_id: str, person: str, days: int, by: str, reference: str) -> None:
        """Give somebody access for a number of days; the same ``reference`` grants only once. Raises
        ``NoSuchSystem``."""
        grant = {"person": person, "days": days, "by": by}
        try:
            self.update(
                "system",
                system_id,
                "SET grants = list_append(if_not_exists(grants, :none), :grant) ADD grant_references :reference",
                {":none": [], ":grant": [grant], ":reference": {reference}, ":once": reference},
                condition="NOT contains(grant_references, :once)",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            if self.system(system_id) is None:
                raise NoSuchSystem(system_id) from error
