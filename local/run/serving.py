"""Serve until Ctrl-C, and let the assistant run each change of its code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from local.processes.process import ProcessError
from local.processes.programs import ROOT
from local.run.progress import FAILED, Progress
from local.run.runner import Runner

CODE = ("fmops",)
"""Folders of the assistant's image."""
TEMPLATES = ("app.py", "cdk.json", "constructs", "lambdas", "observability", "policies", "settings", "stacks")
"""Files and folders that the templates are made of."""
LOOK_SECONDS = 0.5

Times = Mapping[Path, int]
"""When each file was last changed, in nanoseconds."""


def serve(runner: Runner, progress: Progress, *, root: Path = ROOT) -> None:
    """Restart the assistant when a file of its image changes, and tell when a file of the templates does.

    Raises ProcessError if a container ends that no change has broken.
    """
    code, templates = Watch(root, CODE), Watch(root, TEMPLATES)
    broken = False
    while True:
        time.sleep(LOOK_SECONDS)
        if not broken:
            runner.check_alive()
        if changed := code.changed():
            progress.say(f"{_named(changed, root)} changed: restarting the assistant")
            broken = not _restart(runner, progress)
        if changed := templates.changed():
            progress.say(f"{_named(changed, root)} changed: stop with Ctrl-C and run again to deploy it")


class Watch:
    """The files below some paths, and which of them have changed."""

    def __init__(self, root: Path, tops: tuple[str, ...]) -> None:
        self._look: Callable[[], Times] = lambda: {
            path: path.stat().st_mtime_ns for top in tops for path in _files(root / top)
        }
        self._known: Times = self._look()
        self._settling: Times = self._known

    def changed(self) -> list[Path]:
        """Return the files that were changed, added or removed since the last time that this returned any.

        Files count once they have stayed the same between two calls, since editors and Git write several.
        """
        before, self._settling = self._settling, self._now()
        if self._settling != before or self._settling == self._known:
            return []
        known, self._known = self._known, self._settling
        return sorted(
            path for path in known.keys() | self._known.keys() if known.get(path) != self._known.get(path)
        )

    def _now(self) -> Times:
        try:
            return self._look()
        except OSError:
            return {}  # a file went away during the look: something is being written


def _files(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield from (
            Path(folder) / name for name in names if not name.startswith((".", "#")) and name[-1] != "~"
        )


def _named(changed: list[Path], root: Path) -> str:
    others = f" and {len(changed) - 1} more files" if len(changed) > 1 else ""
    return f"{changed[0].relative_to(root)}{others}"


def _restart(runner: Runner, progress: Progress) -> bool:
    began = time.monotonic()
    try:
        runner.restart_code()
    except ProcessError as error:
        progress.say(f"{error}\nChange the code again to restart it", FAILED, "red")
        return False
    progress.say(f"the assistant answers again after {time.monotonic() - began:.1f} s")
    return True
