"""``make bench``: run every benchmark, each in a process of its own, one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {
    "__init__",
    "__main__",
    "report",
    "guardrail_parts",
    "guardrail_worst",
    "drift_world",
    "drift_formats",
    "drift_story",
    "document_story",
}


def modules() -> list[str]:
    """Return the name of every benchmark's module."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    chosen = [stem for stem in stems if stem not in NOT_BENCHMARKS and not stem.endswith("_peers")]
    return [f"checks.bench.{stem}" for stem in chosen]


def main() -> int:
    failed = []
    for module in modules():
        print(f"--- {module.rpartition('.')[2]}", flush=True)
        if subprocess.run([sys.executable, "-W", "ignore", "-m", module], check=False).returncode:
            failed.append(module)
    if failed:
        print(f"did not finish: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
