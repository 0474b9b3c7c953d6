"""The schema with which the infrastructure checks settings refuses what the runtime refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from constructs import guardrail_settings
from constructs.guardrail_settings import GuardrailSettingsError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmops.guardrails import Action, Category, Direction, Group, GuardrailSettings
from fmops.guardrails.settings import KINDS, json_schema

FILE = Path(__file__).parents[2] / "fmops" / "guardrails" / "settings.schema.json"


def test_the_committed_schema_is_fresh() -> None:
    assert json.loads(FILE.read_text()) == json_schema(), "run python -m fmops.guardrails"


def test_the_infrastructure_knows_the_runtimes_detectors() -> None:
    given_settings = {"detectors": {"pii": None, "mine": {"kind": "my.app:Mine"}}}
    on = guardrail_settings.detectors(given_settings, json_schema(), path="guardrails")
    assert on.keys() == GuardrailSettings.model_validate(given_settings).detectors.keys()


_names = st.sampled_from(["secrets", "pii", "toxicity", "checks", "mine", "closed", "open", "nobody"])
_detectors = st.fixed_dictionaries(
    {"kind": st.sampled_from([*KINDS, "my.app:Mine"])},
    optional={
        "timeout_ms": st.integers(-1, 70_000),
        "on_error": _names | st.dictionaries(st.sampled_from([*Direction, "sideways"]), _names, max_size=2),
        "on_language": st.sampled_from(["ask", "flag", "block", "pii", "guess"]),
        "standby": st.booleans(),
        "speed": st.just(1),
    },
)
_rules = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from([*Group, *Category, "ssn"]), max_size=2),
        "action": st.sampled_from([*Action, "delete"]),
    },
    optional={
        "directions": st.lists(st.sampled_from([*Direction, "sideways"]), max_size=2, unique=True),
        "threshold": st.floats(-0.5, 1.5),
        "detectors": st.lists(_names, max_size=1),
        "combine": st.sampled_from(["any", "majority", "all", "none"]),
    },
)
_settings = st.fixed_dictionaries(
    {},
    optional={
        "detectors": st.dictionaries(_names, st.none() | _detectors, max_size=2),
        "rules": st.lists(_rules, max_size=2),
        "language": st.sampled_from(["en", "english"]),
        "deadline_ms": st.integers(-1, 70_000),
        "stream": st.fixed_dictionaries({}, optional={"first": st.integers(-1, 3)}),
    },
)


@given(_settings)
def test_synth_refuses_exactly_what_the_runtime_refuses(settings: dict[str, Any]) -> None:
    try:
        GuardrailSettings.model_validate(settings)
    except ValidationError:
        with pytest.raises(GuardrailSettingsError):
            guardrail_settings.detectors(settings, json_schema(), path="guardrails")
    else:
        guardrail_settings.detectors(settings, json_schema(), path="guardrails")
