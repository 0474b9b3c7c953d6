"""The service desk of evaluations, experiments and the playground: the same rules, over records in memory."""

from __future__ import annotations

from fmops.agent.records import NoSuchSystem, Records
from fmops.toolkit.record_table import RecordsInMemory


class SandboxRecords(RecordsInMemory, Records):
    """Records of a single case, so that no case sees another's changes."""

    def comment(self, ticket_id: str, author: str, text: str) -> None:
        self._records["ticket"][ticket_id].setdefault("comments", []).append({"author": author, "text": text})

    def grant(self, system_id: str, person: str, days: int, by: str, reference: str) -> None:
        system = self._records["system"].get(system_id)
        if system is None:
            raise NoSuchSystem(system_id)
        references: list[str] = system.setdefault("grant_references", [])
        if reference not in references:
            references.append(reference)
            system.setdefault("grants", []).append({"person": person, "days": days, "by": by})
