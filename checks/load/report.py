"""The table and the plot of a load run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from checks.load.stages import SOAK_SHARE, Report, Stage, as_json, slope

JSON = Path("build/load.json")
PLOT = Path("build/load.png")


def show(report: Report, console: Console) -> None:
    """Print one line for each stage, and how much one task can take."""
    table = Table("model", "users", "answers/s", "p50 s", "p95 s", "p99 s", "first p50", "first p95",
                  "refused", "health p99 ms", "CPU assistant", "services", "MiB", title="Load on one task")  # fmt: skip
    for stage in [*report.stages, *([report.soak] if report.soak else [])]:
        table.add_row(*_row(stage))
    console.print(table)
    held = report.saturates_at("slow")
    console.print(
        f"One task holds about {held.in_flight:.0f} turns at once of a slow model ({held.rate:.1f} answers/s);"
        f" scale out at {max(1, round(SOAK_SHARE * held.in_flight))} turns under way."
    )
    if report.recovery_seconds is not None:
        console.print(f"Recovered {report.recovery_seconds:.1f} s after the overload.")
    if report.soak and (growth := slope(report.soak.measured["memory"])):
        console.print(
            f"Soak: memory changes by {growth.estimate:.2f} MiB a minute, 95 % [{growth.low:.2f}, {growth.high:.2f}]."
        )


def _row(stage: Stage) -> list[str]:
    measured = stage.measured
    answers = measured["answers"]["whole"] or measured["answers"]["streamed"] or {}
    first = measured["first_token"] or {}

    def number(values: dict[str, float], name: str) -> str:
        return f"{values[name]:.2f}" if name in values else "-"

    cpu = measured["cpu_cores"]
    memory = measured["memory"]
    return [
        stage.name, str(stage.users), f"{stage.rate:.1f}", number(answers, "p50"), number(answers, "p95"),
        number(answers, "p99"), number(first, "p50"), number(first, "p95"), str(stage.refused),
        f"{measured['health_ms']['p99']:.0f}", f"{cpu.get('assistant', 0):.2f}", f"{cpu.get('services', 0):.2f}",
        f"{memory[-1][1] / 2**20:.0f}" if memory else "-",
    ]  # fmt: skip


def write(report: Report) -> None:
    """Write the figures and the picture."""
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps(as_json(report), indent=1))
    _draw(report)


def _draw(report: Report) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name in ("canned", "slow"):
        stages = report.of(name)
        users = [stage.users for stage in stages]
        left.plot(users, [stage.rate for stage in stages], marker="o", label=f"{name} model")
        right.plot(users, [_p95(stage) for stage in stages], marker="o", label=f"{name} model")
    left.set(title="Answers per second", xlabel="users at once", xscale="log")
    right.set(
        title="95th percentile of whole answers, seconds", xlabel="users at once", xscale="log", yscale="log"
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(PLOT, dpi=120)
    pyplot.close(figure)


def _p95(stage: Stage) -> Any:
    answers = stage.measured["answers"]["whole"] or stage.measured["answers"]["streamed"]
    return answers["p95"] if answers else float("nan")
