"""The table of guardrail decisions counts what the records say."""

from __future__ import annotations

from rich.console import Console

from demo.layers import guardrails


def test_decisions_are_counted_by_direction_action_and_detector() -> None:
    outcomes = [
        {"direction": "input", "action": "allow", "detector": ""},
        {"direction": "input", "action": "block", "detector": "checks"},
        {"direction": "retrieved", "action": "redact", "detector": "pii"},
    ]
    console = Console(width=120, record=True)
    console.print(guardrails([{"guardrails": outcomes}, {"guardrails": outcomes[1:]}]))
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in _rows(console.export_text())}
    assert rows["input"] == ["1", "-", "-", "2 by checks"]
    assert rows["retrieved"] == ["0", "-", "2 by pii", "-"]
    assert rows["output"] == ["0", "-", "-", "-"]


def _rows(text: str) -> list[list[str]]:
    return [line.strip("│ \n").split("│") for line in text.splitlines() if line.startswith("│")]
