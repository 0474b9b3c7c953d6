"""Run a Python program, and write which files and folders it read: ``python read_files.py RECORD PROGRAM ARGUMENTS``.

The record has the paths of files and folders that Python opened and listed. What the program's child processes read
is not in it. It is written only if the program succeeds.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from importlib.util import source_from_cache
from pathlib import Path
from typing import Any

LISTING = {"os.listdir", "os.scandir"}


def main(record: str, program: str) -> None:
    files: set[str] = set()
    folders: set[str] = set()

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode = arguments[0], arguments[1]
            if isinstance(path, str) and not (mode and set(mode) & set("wax+")):
                files.add(os.path.abspath(path))  # noqa: PTH100 - called thousands of times
        elif event in LISTING and isinstance(arguments[0], (str, os.PathLike)):
            folders.add(os.path.abspath(arguments[0]))  # noqa: PTH100

    sys.addaudithook(heard)
    sys.path[0] = str(Path(program).resolve().parent)
    runpy.run_path(program, run_name="__main__")
    read, listed = sorted({_source(path) for path in files}), sorted(folders)
    Path(record).write_text(json.dumps({"files": read, "folders": listed}))


def _source(path: str) -> str:
    """Return the source of a compiled module, and any other path as it is."""
    try:
        return source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path


if __name__ == "__main__":
    _, written, app, *rest = sys.argv
    sys.argv = [app, *rest]
    main(written, app)
