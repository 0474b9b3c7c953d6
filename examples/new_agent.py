"""Replace the insurance example with another agent: ``make new-agent NAME=it-help``.

The command removes what the example brought, copies ``examples/service_desk`` (a small IT service desk: a
search, two ticket tools, and one that waits for approval) under your name, and removes the tests of what is
gone. All of it runs at once; then make it yours.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("service_desk")
REPLACED = (
    "fmops/agent",
    "policies",
    "demo/data.yaml",
    "demo/tour.yaml",
    "demo/script.yaml",
    "demo/history.yaml",
    "demo/stand_in_model.yaml",
    "demo/documents",
    "demo/prompts",
)
"""Files and folders that belong to an agent; in a folder, files that the template does not replace are kept
only if ``KEPT`` names them."""
KEPT = ("policies/convert-schema.mjs",)
EXAMPLES_TESTS = (
    "tests/agent",
    "tests/authorization",
    "tests/policies",
    "tests/assistant/test_desk_pages.py",
    "tests/assistant/test_gaps.py",
    "tests/assistant/test_home.py",
    "tests/assistant/playground.py",
    "tests/assistant/test_playground.py",
    "tests/assistant/test_playground_budgets.py",
    "tests/assistant/test_why.py",
    "tests/checks/attack/test_pack.py",
    "tests/checks/test_agent.py",
    "tests/constructs/test_cedar.py",
    "tests/demo/test_gaps.py",
    "tests/demo/test_review.py",
    "tests/demo/test_why.py",
    "tests/docs/test_tutorial.py",
    "tests/local/test_verifiedpermissions.py",
    "tests/review/page.py",
    "tests/review/test_review_page.py",
    "tests/toolkit/test_knowledge.py",
    "tests/toolkit/test_retrieval.py",
)
"""Tests of the insurance example, of its policies and its people, and tests that rely on them."""
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
LONGEST = 40


class NewAgentError(Exception):
    """The agent was not made; the message gives the reason and the remedy. Nothing has changed."""


def make(name: str, root: Path = ROOT) -> list[str]:
    """Replace the example in the checkout at ``root``, and return the files that were written. Raises
    ``NewAgentError``."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise NewAgentError(
            f"NAME={name}: use lower-case letters, digits and single hyphens, at most {LONGEST}, such as it-help."
        )
    if changed := _uncommitted(root):
        raise NewAgentError(
            f"{changed[0]} has changes that are not committed, and would be lost: commit or stash them first."
        )
    files = {
        str(path.relative_to(TEMPLATE)): _named(path.read_bytes(), name)
        for path in sorted(TEMPLATE.rglob("*"))
        if _is_file(path)
    }
    kept = {path: (root / path).read_bytes() for path in KEPT}
    for path in (*REPLACED, *EXAMPLES_TESTS):
        _remove(root / path)
    for path, content in {**files, **kept}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return list(files)


def _named(content: bytes, name: str) -> bytes:
    """Return a file of the template with another name, in each of the forms that the name has; one that is no text,
    such as a PDF, stays as it is."""
    words = name.split("-")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    for old, new in (
        ("service-desk", name),
        ("ServiceDesk", "".join(word.capitalize() for word in words)),
        ('"Service desk"', f'"{" ".join(words).capitalize()}"'),
    ):
        text = text.replace(old, new)
    return text.encode()


def _uncommitted(root: Path) -> list[str]:
    """Return the files that git could not bring back; without git, nothing is known to be in danger."""
    paths = [path for path in (*REPLACED, *EXAMPLES_TESTS) if (root / path).exists()]
    answer = subprocess.run(
        ["git", "status", "--porcelain", "--", *paths], cwd=root, capture_output=True, text=True, check=False
    )
    return [line[3:] for line in answer.stdout.splitlines()] if answer.returncode == 0 else []


def _is_file(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.new_agent", description=__doc__)
    parser.add_argument("name", help="name of the agent, such as it-help")
    name = parser.parse_args().name
    try:
        made = make(name)
    except NewAgentError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{name}: {len(made)} files in the place of the insurance example. Now:")
    print("  make run ONCE=1                see it run, with its own tour")
    print("  fmops/agent/ policies/ demo/   make it yours, as docs/customise.md says")
    print(f"  make snapshots                 accept the templates with the policies of {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
