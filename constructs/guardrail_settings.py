"""The settings of `fmops.guardrails`, checked against their JSON schema so that mistakes show at synth, not
when a task starts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

Detectors = dict[str, dict[str, Any]]


class GuardrailSettingsError(ValueError):
    """A guardrail setting is not usable; the message names the field, its value and the allowed values."""


def detectors(settings: Mapping[str, Any], schema: Mapping[str, Any], *, path: str) -> Detectors:
    """Return the detectors that are on, by name: the runtime's defaults, extended and overridden
    by the settings.

    Raises `GuardrailSettingsError` with a sentence for each field of `settings` that the runtime would refuse.
    """
    sentences = [_sentence(error, path) for error in Draft202012Validator(schema).iter_errors(settings)]
    if sentences:
        raise GuardrailSettingsError(" ".join(sorted(sentences)))
    defaults = schema["properties"]["detectors"]["default"]
    found = {**defaults, **settings.get("detectors", {})}
    on = {name: each for name, each in found.items() if each is not None}
    sentences = list(_unknown_names(on, settings, path))
    if sentences:
        raise GuardrailSettingsError(" ".join(sentences))
    return on


def _sentence(error: ValidationError, path: str) -> str:
    deepest = best_match([error]) or error
    place = ".".join([path, *(str(part) for part in deepest.absolute_path)])
    if deepest.validator == "enum":
        values: Any = deepest.validator_value
        allowed = ", ".join(values)
        return f"{place} is {json.dumps(deepest.instance)}, but it should be one of {allowed}."
    return f"{place}: {deepest.message}."


def _unknown_names(on: Detectors, settings: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield a sentence for each name that is no detector's, which a JSON schema cannot check."""
    known = ", ".join(on) or "none"
    for name, detector in on.items():
        on_error = detector.get("on_error", "closed")
        answers = [on_error] if isinstance(on_error, str) else list(on_error.values())
        for field, answer, fixed in [
            *(("on_error", answer, ("closed", "open")) for answer in answers),
            ("on_language", detector.get("on_language", "ask"), ("ask", "flag", "block")),
        ]:
            if answer not in fixed and (answer not in on or answer == name):
                yield (
                    f"{path}.detectors.{name}.{field} is {json.dumps(answer)}, but it should be {', '.join(fixed)}"
                    f" or another detector (there are {known})."
                )
    for index, rule in enumerate(settings.get("rules", ())):
        if unknown := sorted(set(rule.get("detectors", ())) - set(on)):
            yield f"{path}.rules.{index}.detectors names {', '.join(unknown)}, but there are {known}."
