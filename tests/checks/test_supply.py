"""Everything delivered is under reviewed licences, and has a bill of materials."""

from __future__ import annotations

import json
import re
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from checks.supply.licences import expression, permitted, problems, rules
from checks.supply.locks import installed, locks, read
from checks.supply.sbom import bill

ROOT = Path(__file__).parents[2]


class Made(Distribution):
    """A distribution with given metadata."""

    def __init__(self, **fields: str | list[str]) -> None:
        self._fields = fields

    def read_text(self, filename: str) -> str | None:
        message = Message()
        message["Name"] = "krippendorff"
        for name, values in self._fields.items():
            for value in [values] if isinstance(values, str) else values:
                message[name.replace("_", "-")] = value
        return message.as_string() if filename in ("METADATA", "PKG-INFO") else None

    def locate_file(self, path: Any) -> Any:
        return Path(path)


def test_every_locked_distribution_is_under_a_reviewed_licence() -> None:
    assert problems(installed(), rules()) == []


def test_most_of_what_is_deployed_was_looked_at() -> None:
    found = installed()
    for name in ("requirements/assistant.txt", "requirements/jobs.txt", "requirements.txt"):
        locked = read(ROOT / name)
        known = [each for each in locked if each.name in found]
        assert len(known) >= 0.85 * len(locked), name


@pytest.mark.parametrize(
    "fields",
    [
        {"License_Expression": "GPL-3.0-or-later"},
        {"License_Expression": "MIT AND GPL-2.0-only"},
        {"License": "AGPL-3.0"},
        {"License": "The text of a licence of our own\nthat goes on"},
        {"Classifier": ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"]},
        {"Classifier": ["License :: OSI Approved"]},
        {},
    ],
)
def test_another_licence_is_a_problem_that_names_the_remedy(fields: dict[str, Any]) -> None:
    lock = next(lock for lock in locks() if any(each.name == "boto3" for each in read(lock)))
    found = [
        each for each in problems({**installed(), "boto3": Made(**fields)}, rules()) if lock.name in each
    ]
    assert len(found) == 1
    assert "take another library, or argue for it" in found[0]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("(MIT AND GPL-3.0-only) OR ISC", True),
        ("(MIT AND GPL-3.0-only) OR LGPL-3.0-only", False),
        ("", False),
    ],
)
def test_expressions_are_read(licence: str, expected: bool) -> None:
    assert permitted(licence, {"MIT", "MPL-2.0", "Apache-2.0", "ISC"}) is expected


def test_classifiers_stand_for_a_licence_that_is_not_named() -> None:
    made = Made(License="Dual License", Classifier=["License :: OSI Approved :: MIT License"])
    assert expression(made, rules()["aliases"]) == "MIT"


def test_copyleft_is_argued_for_one_by_one() -> None:
    for each in rules()["argued"]:
        assert len(each["why"]) > 40, each["name"]
    assert not any("GPL" in licence for licence in rules()["allowed"])


@pytest.mark.parametrize("lock", locks(), ids=lambda lock: lock.stem)
def test_the_bill_of_materials_holds_every_pin_with_its_hashes(lock: Path) -> None:
    written = bill(lock, installed(), rules()["aliases"])
    pins = set(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
    assert {(each["name"], each["version"]) for each in written["components"]} == {
        (name.lower().replace("_", "-").replace(".", "-"), version) for name, version in pins
    }
    hashes = sum(len(part["hashes"]) for each in written["components"] for part in each["externalReferences"])
    assert hashes == lock.read_text().count("--hash=sha256:")
    assert json.dumps(written) == json.dumps(bill(lock, installed(), rules()["aliases"]))


@pytest.mark.parametrize("dockerfile", ["assistant", "jobs", "spark"])
def test_no_image_runs_as_root_and_all_install_by_hash(dockerfile: str) -> None:
    text = (ROOT / "images" / f"{dockerfile}.Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users
    assert users[-1].split(":")[0] not in ("root", "0")
    for line in re.findall(r"pip install[^&]*", text):
        assert "--require-hashes" in line
