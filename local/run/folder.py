"""The folder of one local run, held by one process at a time and checked to be writable."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

LOCK = "run.lock"
FOLDERS = ("cdk.out", "functions", "home", "logs", "mlflow", "prometheus", "volumes")
"""Folders that runs create below theirs."""
NEEDED_MIB = 500
"""Free space in MiB for the databases of MLflow and Prometheus, logs and spools of a run."""
FULL_MIB = 16
"""Free space in MiB below which writing may fail."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderError(Exception):
    """The folder cannot be used; the message gives the reason and the remedy."""


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the folder, which is created if necessary. Raises ``FolderError`` if another run holds it or it
    is not usable."""
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        # Not inherited by the processes of the run, so that it ends with this process in any case.
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(_taken(directory)) from None
        _check(directory)
        with _writing(directory):
            holder = {
                "process": os.getpid(),
                "since": f"{datetime.now(UTC):%H:%M} UTC",
                "command": _command(),
            }
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(lock)


def _command() -> str:
    return " ".join(getattr(sys, "orig_argv", sys.argv)[1:])


def _taken(directory: Path) -> str:
    try:
        holder = json.loads((directory / LOCK).read_text())
        who = f"process {holder['process']} (`{holder['command']}`, since {holder['since']})"
        remedy = f"stop that one with Ctrl-C or `kill {holder['process']}`"
    except (OSError, ValueError, KeyError):
        who, remedy = "another process", "stop that one"
    return (
        f"{directory} is in use by {who}, whose MLflow and captured records a second run would wipe: "
        f"{remedy}, or give this run a folder and ports of its own with --directory and --port-base"
    )


def _check(directory: Path) -> None:
    if files := [name for name in FOLDERS if (directory / name).exists() and not (directory / name).is_dir()]:
        paths = ", ".join(str(directory / name) for name in files)
        raise FolderError(
            f"{paths}: there is a file where the run needs a folder of that name: move it or delete it"
        )
    if (free := _free_mib(directory)) < NEEDED_MIB:
        raise FolderError(
            f"the disk of {directory} has {free} MiB left, and a run writes up to {NEEDED_MIB} MiB: free some, "
            "or give the run a folder on another disk with --directory"
        )


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderError(explained(error, directory) or str(error)) from error


def explained(error: BaseException, directory: Path) -> str:
    """Return a sentence for a failure that the disk or the folder caused, whatever the failing program
    reported, or else an empty text."""
    if (isinstance(error, OSError) and error.errno in DISK_FULL) or _free_mib(directory) < FULL_MIB:
        return (
            f"the disk of {directory} is full, whatever else failed: free at least {NEEDED_MIB} MiB and run"
            " this again, or give the run a folder on another disk with --directory"
        )
    if isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)):
        path = error.filename or directory
        return f"{path}: {error.strerror}: move it or make it writable, or give the run another --directory"
    return ""


def _free_mib(directory: Path) -> int:
    """Return the disk's free space, by the nearest parent folder that exists."""
    for path in (directory, *directory.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(path).free >> 20
    return NEEDED_MIB
