"""``python -m checks.agent.ask``: ask the agent one question in the sandbox, and see what every layer decided.

Nothing is deployed: a local AWS lives as long as the question, with the working copy's policies, guardrails, prompt and
stand-in model. People and records are those of ``fmops/agent/evaluation/sandbox.yaml``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from fmops.variants.variant import Answer


def main() -> int:
    parser = argparse.ArgumentParser(prog="make try", description=__doc__)
    parser.add_argument("question", help="what to ask")
    parser.add_argument(
        "--caller", metavar="NAME", default="", help="one of the sandbox's people, by default the first"
    )
    parser.add_argument("--prompt", type=Path, help="file with a prompt, instead of the packaged one")
    parser.add_argument(
        "--profile", default="dev", help="profile of cdk.json whose model and guardrails are used"
    )
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    with console.status("Starting the sandbox …"):
        # They take seconds, and a wrong option should not wait for them.
        from checks.agent.sandbox import SandboxError, answered

        try:
            caller, answer = asyncio.run(
                answered(arguments.question, arguments.caller, arguments.profile, arguments.prompt)
            )
        except SandboxError as error:
            console.print("[red]✗[/]", Text(str(error)))
            return 2
    for name, value in _rows(caller, answer):
        console.print(Text(f"{name:12}", style="bold"), Text(value))
    return 0


def _rows(caller: str, answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield the parts of an answer with their names."""
    yield caller, answer.text or "(nothing)"
    for call in answer.calls:
        given = json.dumps(call.arguments, ensure_ascii=False)
        yield "tool", f"{call.name} {given}: {call.status}"
    yield from (("decision", each) for each in answer.decisions)
    yield from (("guardrail", each) for each in answer.guardrails)
    yield from (("document", f"{each['title']} ({each['id']})") for each in answer.retrieved)
    cost = "" if answer.cost_usd is None else f", {answer.cost_usd:.6f} USD"
    yield (
        "figures",
        f"{answer.finish}, {answer.seconds:.2f} s, {answer.input_tokens} + {answer.output_tokens} tokens{cost}",
    )


if __name__ == "__main__":
    sys.exit(main())
