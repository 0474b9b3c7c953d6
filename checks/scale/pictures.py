"""Pictures of limits, days and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.scale.days import Outcome, percentile
from checks.scale.world import Minute
from ops.scale.limits import Plan

DOTS = 120
FEWEST = 20
"""Answers of which a percentile is drawn."""
DAYS_SHOWN = [10 ** (3 + 5 * each / 60) for each in range(61)]


def limits(plan: Plan, file: Path) -> None:
    """Draw how much of each limit is used, by requests a day, with a dot where it breaks."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(11, 7), layout="constrained")
    first = [line for line in plan.lines(1e6) if line.breaks_at and line.breaks_at <= DAYS_SHOWN[-1]]
    shades = pyplot.get_cmap("tab20")
    for number, line in enumerate(sorted(first, key=lambda line: line.breaks_at or 0)):
        used = [_used(plan, line.name, day) for day in DAYS_SHOWN]
        style = "--" if line.quota is None else "-"
        name = f"{line.service}: {line.name}{line.mark}"
        axes.plot(DAYS_SHOWN, used, style, color=shades(number % 20), label=f"{line.breaks_at:,.0f}  {name}")
        axes.plot([line.breaks_at], [100], "o", color=shades(number % 20))
    axes.axhline(100, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", ylim=(1, 1000), xlim=(DAYS_SHOWN[0], DAYS_SHOWN[-1]))
    axes.set(xlabel="requests a day", ylabel="% of the limit at the peak")
    axes.set_title(f"Where a new account in {plan.region} breaks (settings dashed)", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(title="breaks at, requests a day", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, file)


def _used(plan: Plan, name: str, day: float) -> float:
    return 100 * next(line.used or 0.0 for line in plan.lines(day) if line.name == name)


def day(
    outcomes: Mapping[str, Outcome], file: Path, *, unit: float, title: str, xlabel: str, begin: float = 0
) -> None:
    """Draw arrivals and tasks, seconds until the answer, and who gets none, over time. `unit` is in seconds."""
    pyplot = _pyplot()
    figure, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(10, 9), sharex=True, layout="constrained")
    tasks = top.twinx()
    for number, (name, outcome) in enumerate(outcomes.items()):
        colour = f"C{number}"
        points = _grouped(outcome.minutes)
        x = [(point[0].at - begin) / unit for point in points]
        if number == 0:
            top.fill_between(
                x, [_rate(point, "asked") for point in points], color="0.85", label="people ask, per s"
            )
        tasks.step(
            x, [point[-1].tasks for point in points], color=colour, where="post", label=f"tasks, {name}"
        )
        seconds = [[each for minute in point for each in minute.seconds] for point in points]
        enough = [each if len(each) >= FEWEST else [] for each in seconds]
        middle.plot(x, [percentile(each, 0.95) for each in enough], color=colour, label=f"p95, {name}")
        middle.plot(x, [percentile(each, 0.5) for each in enough], ":", color=colour, label=f"p50, {name}")
        bottom.plot(x, [_lost(point) for point in points], color=colour, label=f"refused or withheld, {name}")
    top.set(ylabel="requests per second", title=title)
    tasks.set(ylabel="tasks", ylim=(0, None))
    middle.set(ylabel="seconds until the answer", ylim=(0, None))
    bottom.set(ylabel="% without an answer", xlabel=xlabel, ylim=(0, max(1.0, bottom.get_ylim()[1])))
    handles, labels = top.get_legend_handles_labels()
    more, names = tasks.get_legend_handles_labels()
    top.legend(handles + more, labels + names, fontsize=8, loc="upper left")
    for axes in (middle, bottom):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left")
    _save(figure, file)


def costs(months: Mapping[int, Mapping[str, float]], file: Path) -> None:
    """Draw what a thousand requests cost, by service, with the day's sum above each bar."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    groups = sorted(
        {group for month in months.values() for group in month}, key=lambda group: -_largest(months, group)
    )
    names = [f"{day:,}" for day in months]
    below = [0.0] * len(months)
    for number, group in enumerate(groups):
        heights = [month.get(group, 0.0) / _thousands(day) for day, month in months.items()]
        axes.bar(names, heights, bottom=below, color=f"C{number}", label=group)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    for name, height, (_, month) in zip(names, below, months.items(), strict=True):
        axes.annotate(
            f"{sum(month.values()) / MONTH:,.0f} USD a day", (name, height), ha="center", va="bottom"
        )
    axes.set(xlabel="requests a day", ylabel="USD for 1,000 requests", title="Cost by service")
    axes.margins(y=0.1)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, file)


MONTH = 30.4


def _thousands(day: int) -> float:
    return day * MONTH / 1000


def _largest(months: Mapping[int, Mapping[str, float]], group: str) -> float:
    return max(month.get(group, 0.0) / _thousands(day) for day, month in months.items())


def _grouped(minutes: Sequence[Minute]) -> list[Sequence[Minute]]:
    """Return minutes in groups, so that a picture has at most a few hundred points."""
    size = max(1, len(minutes) // (2 * DOTS))
    return [minutes[start : start + size] for start in range(0, len(minutes), size)]


def _rate(point: Sequence[Minute], what: str) -> float:
    return float(sum(getattr(minute, what) for minute in point)) / 60 / len(point)


def _lost(point: Sequence[Minute]) -> float:
    lost = sum(minute.refused + minute.withheld for minute in point)
    ended = lost + sum(minute.answered for minute in point)
    return 100 * lost / ended if ended else 0.0


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    _pyplot().close(figure)
