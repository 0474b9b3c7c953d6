"""Target tracking as Application Auto Scaling does it for an ECS service, once a minute."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from checks.scale.world import World

HIGH_MINUTES, LOW_MINUTES = 3, 15
"""Minutes that a metric must be above its target before tasks are added, or below before they are removed: the alarms
that target tracking creates (known, not read again)."""
LOW = 0.9
"""Share of the target below which a metric counts as low."""
LATE = 1
"""Minutes until a metric of CloudWatch can be read."""
SCALE_IN_COOLDOWN = 5
"""Minutes between removals (CDK's and Application Auto Scaling's default for ECS: 300 s)."""


class Scaling:
    """Decide about the number of tasks from each minute's metrics."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._desired = world.tasks
        self._history: deque[Mapping[str, float]] = deque(maxlen=LOW_MINUTES + LATE)
        self._since_removal = SCALE_IN_COOLDOWN

    def decide(self, metrics: Mapping[str, float], tasks: int) -> int:
        """Return the number of tasks to start, or as a negative number those to remove.

        Any policy may add tasks; all must agree to remove some. A scale-out that is under way counts: only a larger
        number than the desired one adds more.
        """
        self._history.append(metrics)
        self._since_removal += 1
        seen = list(self._history)[: -LATE or None]
        if not self._world.targets or not seen:
            return 0
        return self._more(seen[-HIGH_MINUTES:], tasks) or self._fewer(seen, tasks)

    def _more(self, seen: list[Mapping[str, float]], tasks: int) -> int:
        if len(seen) < HIGH_MINUTES:
            return 0
        wanted = [
            math.ceil(tasks * seen[-1][name] / target)
            for name, target in self._world.targets.items()
            if all(metrics[name] > target for metrics in seen)
        ]
        desired = min(self._world.max_tasks, max(wanted, default=0))
        added = max(0, desired - self._desired)
        self._desired += added
        return added

    def _fewer(self, seen: list[Mapping[str, float]], tasks: int) -> int:
        low = all(
            metrics[name] < LOW * target for metrics in seen for name, target in self._world.targets.items()
        )
        if (
            len(seen) < LOW_MINUTES
            or not low
            or self._since_removal <= SCALE_IN_COOLDOWN
            or tasks != self._desired
        ):
            return 0
        needed = max(
            math.ceil(tasks * seen[-1][name] / target) for name, target in self._world.targets.items()
        )
        desired = max(self._world.min_tasks, min(tasks, needed))
        if desired < tasks:
            self._since_removal = 0
        removed, self._desired = tasks - desired, desired
        return -removed
