"""Write a bill of materials (CycloneDX 1.6, JSON) for each lock file into ``build/sbom``: ``python -m
checks.supply.sbom``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from checks.supply.licences import expression, rules
from checks.supply.locks import ROOT, Locked, installed, locks, read


def bill(lock: Path, found: Mapping[str, Distribution], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return the bill of one lock file. The same file gives the same bill."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": f"fmops-blueprint/{lock.stem}", "bom-ref": lock.stem}
        },
        "components": [_component(each, found.get(each.name), aliases) for each in read(lock)],
    }


def _component(locked: Locked, found: Distribution | None, aliases: Mapping[str, str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{locked.name}@{locked.version}"
    licence = expression(found, aliases) if found else ""
    # Each platform's wheel has its own hash, but a component's own hashes would be those of a single file.
    distributed = [
        {"type": "distribution", "url": f"https://pypi.org/project/{locked.name}/{locked.version}/",
         "hashes": [{"alg": "SHA-256", "content": each}]}
        for each in locked.hashes
    ]  # fmt: skip
    return {
        "type": "library",
        "name": locked.name,
        "version": locked.version,
        "purl": purl,
        "bom-ref": purl,
        **({"licenses": [{"license": {"name": licence}}]} if licence else {}),
        "externalReferences": distributed,
    }


def main() -> int:
    directory = ROOT / "build" / "sbom"
    directory.mkdir(parents=True, exist_ok=True)
    found, aliases = installed(), rules()["aliases"]
    for lock in locks():
        written = directory / f"{lock.stem}.cdx.json"
        written.write_text(json.dumps(bill(lock, found, aliases), indent=1) + "\n")
        sys.stdout.write(f"{written.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
