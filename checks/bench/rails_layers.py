"""The CPU of a request by layer: the bare agent, and each rail added to the one before it, behind one HTTP server.

``python -m checks.bench.rails_layers [PICTURE]`` also draws the layers, by default into build/rails.png.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from checks.bench.rails import KINDS, REQUESTS, Server
from checks.bench.report import publish
from checks.bench.telemetry import sink

PICTURE = Path("build/rails.png")
ROUNDS = 7


def measure() -> dict[str, list[float]]:
    """Return the milliseconds of CPU a request of each kind of server, round by round."""
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with sink() as (otlp, _):
        servers: dict[str, Server] = {}
        try:
            for kind in KINDS:
                servers[kind] = Server(kind, otlp)
            for number in range(ROUNDS + 1):
                for kind, server in servers.items():
                    before = server.cpu()
                    server.load()
                    if number:
                        cpu[kind].append((server.cpu() - before) * 1000 / REQUESTS)
        finally:
            for server in servers.values():
                server.stop()
    return cpu


def layers(cpu: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the milliseconds that each layer adds to the one before it: the median over the rounds."""
    first, *_ = cpu
    added = {first: statistics.median(cpu[first])}
    for before, kind in pairwise(cpu):
        added[kind] = statistics.median(b - a for a, b in zip(cpu[before], cpu[kind], strict=True))
    return added


def draw(cpu: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw a bar for the bare agent and one for the rails, which are stacked by layer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    added, (first, *_, last) = layers(cpu), cpu
    bars = {"bare": [first], "with all rails": list(cpu)}
    colours = pyplot.get_cmap("viridis")
    figure, axes = pyplot.subplots(figsize=(11, 2.8), layout="constrained")
    for row, (name, kinds) in enumerate(bars.items()):
        left = 0.0
        for kind in kinds:
            width, colour = max(0.0, added[kind]), colours(list(cpu).index(kind) / (len(cpu) - 1))
            axes.barh(row, width, left=left, color=colour, label=KINDS[kind] if row else None)
            ink = "black" if colour[1] > 0.6 else "white"
            axes.text(left + width / 2, row, f"{added[kind]:.1f}", ha="center", va="center", color=ink)
            left += width
        rate = 1000 / statistics.median(cpu[first if name == "bare" else last])
        axes.text(left, row, f"  {rate:.0f} requests/s and core", va="center")
    axes.set(xlabel="milliseconds of CPU a request", yticks=range(len(bars)), yticklabels=list(bars))
    axes.set_xlim(right=1.25 * statistics.median(cpu[last]))
    axes.invert_yaxis()
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), unique, loc="outside lower center", ncols=len(unique), frameon=False, fontsize=8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> int:
    cpu = measure()
    draw(cpu, Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
    added = layers(cpu)
    publish(
        {},
        [
            (
                f"+ {KINDS[kind]}" if number else KINDS[kind],
                f"{added[kind]:.2f} ms of CPU a request, together {statistics.median(times):.2f} ms,"
                f" {1000 / statistics.median(times):.0f} requests/s and core",
            )
            for number, (kind, times) in enumerate(cpu.items())
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
