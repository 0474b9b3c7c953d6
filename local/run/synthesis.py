"""Synthesize the CDK app, or keep the assembly of the last time while nothing that synthesis reads has changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local.processes.programs import ROOT

RECORDER = Path(__file__).with_name("read_files.py")
RECORD = "read.json"
"""File of the assembly with what synthesis has read, and its digest."""
NOT_READ = ("checks", "demo", "docs", "examples", "fmops", "local", "ops", "tests")
"""Folders of which synthesis reads single files only. In all others, each file counts as read: CDK packs folders in a
process of its own, which nothing here sees."""
MADE = {"__pycache__", "build", "cdk.out", "mlruns", "node_modules"}
"""Names of folders that tools make."""


class SynthesisError(Exception):
    """Synthesis failed; the message is what it printed."""


def synthesize(
    assembly: Path, *, context: Mapping[str, str] | None = None, app: Path | None = None, reuse: bool = False
) -> bool:
    """Run `python app.py` into `assembly`, without CDK's slow validation (which CI runs).

    With ``reuse``, an assembly that is there is kept if the arguments and the content of each file that synthesis reads
    are the same as when it was made. Files that are only packed into an image do not count: local processes stand in
    for images. Returns whether it was kept. Raises SynthesisError with what synthesis printed.
    """
    app = app or ROOT / "app.py"
    arguments = [part for key, value in (context or {}).items() for part in ("-c", f"{key}={value}")]
    record = assembly / RECORD
    if reuse and _is_current(record, app, arguments):
        return True
    record.unlink(missing_ok=True)
    assembly.mkdir(parents=True, exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))},
        "CDK_OUTDIR": str(assembly),
        "CDK_VALIDATION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    result = subprocess.run(
        [sys.executable, str(RECORDER), str(record.absolute()), str(app), *arguments],
        cwd=app.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SynthesisError(f"synth failed:\n{result.stderr.strip() or result.stdout.strip()}")
    read = json.loads(record.read_text())
    kept = {kind: [path for path in read[kind] if _counts(Path(path), app.parent)] for kind in read}
    record.write_text(json.dumps({**kept, "digest": _digest(kept, app.parent, arguments)}))
    return False


def _is_current(record: Path, app: Path, arguments: list[str]) -> bool:
    try:
        read = json.loads(record.read_text())
        return bool(read["digest"] == _digest(read, app.parent, arguments))
    except (OSError, ValueError, KeyError):
        return False


def _digest(read: Mapping[str, Any], root: Path, arguments: Iterable[str]) -> str:
    """Return the digest of arguments, files and listings. Raises OSError if a file is gone."""
    digest = hashlib.sha256(json.dumps([sys.version, *arguments]).encode())
    for path in sorted({Path(each) for each in read["files"]} | set(_others(root))):
        digest.update(f"\n{path}\n".encode() + path.read_bytes())
    for folder in read["folders"]:
        digest.update(f"\n{folder} {sorted(_names(Path(folder)))}".encode())
    return digest.hexdigest()


def _others(root: Path) -> Iterator[Path]:
    """Yield each file outside the folders that are only read in part."""
    for folder, folders, names in os.walk(root):
        top = Path(folder) == root
        folders[:] = [name for name in _visible(folders) if not (top and name in NOT_READ)]
        yield from (Path(folder) / name for name in names)


def _names(folder: Path) -> Iterator[str]:
    return _visible(os.listdir(folder))  # noqa: PTH208 - only the names


def _visible(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not name.startswith(".") and name not in MADE)


def _counts(path: Path, root: Path) -> bool:
    """Return whether a path is one of the project's own, which tools have not made."""
    return path.is_relative_to(root) and not any(
        name in MADE or name.startswith(".") for name in path.relative_to(root).parts
    )
