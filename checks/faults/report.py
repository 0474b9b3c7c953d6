"""The results as the table of docs/faults.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table, with one line for each scenario."""
    lines = [
        "| scenario | what happens | what users saw | began, captured, lost | slowest answer | recovered | held |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        recovered = "-" if row["recovered_s"] is None else f"{row['recovered_s']:.1f} s"
        twice = f" ({row['twice']} twice)" if row["twice"] else ""
        caught = row.get("lost_in_memory")
        killed = f", and {caught} that the kill caught in memory" if caught else ""
        lines.append(
            f"| `{row['name']}` | {row['what']} | {_seen(row)} | {row['with_id']}, {row['captured']}{twice},"
            f" {row['missing']}{killed} | {row['slowest_s']:.1f} s | {recovered} |"
            f" {'yes' if row['green'] else '**no**'} |"
        )
    return "\n".join(lines)


def _seen(row: Mapping[str, Any]) -> str:
    statuses = ", ".join(
        f"{count} x {'no answer' if status == '0' else status}" for status, count in row["statuses"].items()
    )
    codes = ", ".join(f"`{code}`" for code in row["codes"] if code)
    job = f"; the job: {row['job']}, then {row['job_again']}" if "job" in row else ""
    return f"{statuses} ({codes}){job}"


def write(rows: Sequence[Mapping[str, Any]], path: Path = DOCS) -> None:
    """Replace the table in the page."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n{END}{after}")
