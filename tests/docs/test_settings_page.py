"""The example on the page of the settings is a profile that loads, and every setting has a row."""

from __future__ import annotations

import json
import re

from docs.site import settings_reference
from settings import load

PAGE = settings_reference.PAGE.read_text("utf-8")


def test_the_example_is_a_profile() -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    profiles = json.loads("{" + example + "}")["fmops"]
    (name,) = profiles
    loaded = load({"fmops": profiles, "profile": name})
    assert (loaded.region, loaded.assistant.max_output_tokens) == ("eu-west-1", 2048)
    assert f"make synth PROFILE={name}" in PAGE


def test_every_setting_has_a_type_a_default_and_a_meaning() -> None:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert all(cell.strip() for row in rows for cell in row)
    assert {len(row) for row in rows} == {4}
    assert not [row for row in rows if "any value" in row[1]]
