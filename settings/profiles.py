"""Profiles of cdk.json: read, extended, checked, and refused with a sentence if they are invalid."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    ValidationError,
)
from pydantic_core import ErrorDetails

from settings.environment import Settings
from settings.kinds import SettingsError

CDK_JSON = Path(__file__).parents[1] / "cdk.json"


def named(section: BaseModel, kind: Any) -> Iterator[tuple[str, str]]:
    """Yield each value of a kind, such as `ModelId`, with the dotted name of its setting."""
    for name, hint in get_type_hints(type(section), include_extras=True).items():
        value = getattr(section, name, None)
        if isinstance(value, BaseModel):
            yield from ((f"{name}.{inner}", text) for inner, text in named(value, kind))
        elif value and _is_of(hint, kind):
            yield from ((name, text) for text in ([value] if isinstance(value, str) else value))


def _is_of(hint: Any, kind: Any) -> bool:
    return hint == kind or any(_is_of(inner, kind) for inner in get_args(hint))


def read_context(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Return the context of cdk.json, overridden by the CDK CLI's and by `-c key=value` arguments.

    The CLI passes its context in `CDK_CONTEXT_JSON`; `python app.py` alone has to read cdk.json itself.
    """
    try:
        context = json.loads(CDK_JSON.read_text()).get("context")
    except OSError as error:
        raise SettingsError(
            f"{CDK_JSON.name} cannot be read ({error.strerror}): take it from git again."
        ) from None
    except (ValueError, AttributeError) as error:
        raise SettingsError(f"{CDK_JSON.name} is not a JSON object ({error}): correct it.") from None
    if not isinstance(context, dict):
        raise SettingsError(
            f"{CDK_JSON.name} has no object 'context': add it, with the profiles below 'fmops'."
        )
    context |= json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    for flag, pair in zip(arguments[::2], [*arguments[1::2], ""], strict=False):
        key, equals, value = pair.partition("=")
        if flag not in ("-c", "--context") or not equals:
            raise SettingsError(f"'{flag} {pair}' is not understood: give context as -c key=value.")
        context[key] = value
    return context


def load(context: Mapping[str, Any]) -> Settings:
    """Return the settings of the profile that the context names (by default `dev`). Raises SettingsError."""
    profiles, name = context.get("fmops"), context.get("profile", "dev")
    if isinstance(profiles, dict) and "profiles" in context:
        profiles = {**profiles, **_profiles_of(Path(context["profiles"]))}
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise SettingsError(
            "cdk.json has no profiles: its context key 'fmops' must hold an object for each, such as {\"dev\": {}}."
        )
    if name not in profiles:
        raise SettingsError(
            f"The profile '{name}' is not in the context 'fmops' of cdk.json: use {_or(sorted(profiles))}."
        )
    values = {**_extended(profiles, name), "profile": name}
    values["assistant"] = {**values.get("assistant", {}), **_port_overrides(context)}
    if context.get("sign_in") == "password":
        # For a rehearsal, whose users are the demo's, only the sign-in of a profile is changed.
        identity = {**values.get("identity", {}), "mfa": "optional", "admin_password_sign_in": True}
        values["identity"] = identity
    if "authorization" in context:
        values["assistant"]["authorization"] = context["authorization"]
    try:
        # JSON mode: lists become tuples, but text never becomes a number.
        return Settings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(name, detail) for detail in error.errors())) from None


def load_next(context: Mapping[str, Any], profile: Settings) -> Settings | None:
    """Return the settings of the profile that the pipeline of a profile deploys next, or None. Raises
    SettingsError."""
    pipeline = profile.delivery.pipeline
    if pipeline is None or pipeline.then is None:
        return None
    following = load({**context, "profile": pipeline.then})
    if following.account != profile.account and not (following.account and profile.account):
        raise SettingsError(
            f"fmops.{profile.profile}.delivery.pipeline.then is {pipeline.then}, but only one of them "
            "names its account: set account in both, or in none."
        )
    if fault := following.not_built_by_a_pipeline:
        raise SettingsError(f"fmops.{following.profile}: the pipeline of {profile.profile} {fault}.")
    return following


def _profiles_of(file: Path) -> dict[str, Any]:
    """Return profiles from a file of their own: `-c profiles=file.json`."""
    try:
        profiles = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"The file {file} that profiles names cannot be read: {error}.") from None
    if not isinstance(profiles, dict):
        raise SettingsError(f"The file {file} must hold an object with a profile under each name.")
    return profiles


def _extended(profiles: Mapping[str, Any], name: str, below: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a profile laid over the one that it extends: sections are merged, other values and lists
    replaced.
    """
    own = dict(profiles[name])
    base = own.pop("extends", None)
    if base is None:
        return own
    known = isinstance(base, str) and base in profiles
    if not known or base in (name, *below):
        others = sorted(profiles.keys() - {name, *below})
        why = "is not a profile" if not known else "extends this one"
        raise SettingsError(f"fmops.{name}.extends is {json.dumps(base)}, which {why}: use {_or(others)}.")
    return _merged(_extended(profiles, base, (name, *below)), own)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value)
        if isinstance(value, dict) and isinstance(base.get(key), dict)
        else value
        for key, value in over.items()
    }
    return {**base, **both}


def _port_overrides(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return ports given as `-c port=8090`, which arrive as text."""
    ports = {
        key: context[key]
        for key in ("port", "collector_port", "collector_health_port", "collector_content_port")
        if key in context
    }
    return {key: int(value) if str(value).isdecimal() else value for key, value in ports.items()}


def _sentence(profile: str, detail: ErrorDetails) -> str:
    field = ".".join(["fmops", profile, *(str(part) for part in detail["loc"])])
    if detail["type"] == "extra_forbidden":
        known = _known_settings(detail["loc"][:-1])
        close = difflib.get_close_matches(str(detail["loc"][-1]), known, 1)
        return f"{field} is not a setting: use {f'{close[0]} instead' if close else _or(known)}."
    if detail["type"] == "value_error":
        return f"{field}: {detail['ctx']['error']}."
    allowed = detail["msg"].replace("Input should ", "it should ").replace("String should ", "it should ")
    return f"{field} is {json.dumps(detail['input'], default=str)}, but {allowed}."


def _known_settings(location: Sequence[int | str]) -> list[str]:
    section: type[BaseModel] = Settings
    parts = iter(location)
    for part in parts:
        annotation = section.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            # The next part is a key.
            next(parts, None)
            annotation = get_args(annotation)[1]
        # A section that need not be there is a union with None.
        kinds = [annotation, *get_args(annotation)]
        section = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return sorted(section.model_fields)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
