"""``make bench``: run every benchmark, each in a process of its own, one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__init__", "__main__", "report", "drift_world", "drift_formats", "drift_story"}


def main() -> int:
    failed = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem in NOT_BENCHMARKS or path.stem.endswith("_peers"):
            continue
        print(f"--- {path.stem}", flush=True)
        if subprocess.run(
            [sys.executable, "-W", "ignore", "-m", f"bench.{path.stem}"], check=False
        ).returncode:
            failed.append(path.stem)
    if failed:
        print(f"did not finish: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
