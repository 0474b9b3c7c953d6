"""Every setting has a description, and makes a difference to what is synthesized."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
from constructs.bedrock_access import PROFILE

import app
import settings
from settings import Section
from tests.synthesized import ENCLOSED, EVERYTHING, Assembly, context

Field = tuple[str, str]
SECTIONS = [each for each in Section.__subclasses__() if each.__module__.startswith("settings.")]
PIPELINE = {
    "repository": "acme/desk",
    "connection_arn": "arn:aws:codeconnections:eu-west-1:111122223333:connection/0f0f0f0f-0000-4000-8000-000000000000",
    "then": None,
    "smoke": False,
}
READ_WHILE_LOADING = {("Settings", "profile")}
"""The setting by which the others are chosen, before there are any."""


def is_section(section: type[Section], name: str) -> bool:
    """Whether a field is a section of its own, which its class describes."""
    annotation = section.model_fields[name].annotation
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return any(inspect.isclass(kind) and issubclass(kind, Section) for kind in kinds)


def documented() -> set[Field]:
    """Return the fields with a docstring below them."""
    return {
        (section.name, field.target.id)
        for file in Path(settings.__file__).parent.glob("*.py")
        for section in ast.parse(file.read_text()).body
        if isinstance(section, ast.ClassDef)
        for field, text in zip(section.body, section.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def all_fields() -> set[Field]:
    return {(section.__name__, name) for section in SECTIONS for name in section.model_fields}


def test_each_says_what_it_is() -> None:
    told = documented()
    silent = {
        f"{section.__name__}.{name}"
        for section in SECTIONS
        for name in section.model_fields
        if (section.__name__, name) not in told and not is_section(section, name)
    }
    assert silent == set(), "write a docstring below each"
    assert all(section.__doc__ for section in SECTIONS)


def test_each_is_read_when_stacks_are_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profiles: dict[str, dict[str, Any]] = {
        "dev": {},
        "prod": {},
        "serverless": {},
        "everything": EVERYTHING,
        "enclosed": ENCLOSED,
        "elsewhere": {
            "identity": {"oidc": {"issuer": "https://login.example.com/acme", "audience": "claims-desk"}},
            "tracking": {"kind": "server"},
            "images": "codebuild",
            "delivery": {"pipeline": PIPELINE},
        },
    }
    read: set[Field] = set()
    plain = Section.__getattribute__

    def noting(section: Section, name: str) -> Any:
        if name in type(section).model_fields:
            read.add((type(section).__name__, name))
        return plain(section, name)

    for profile, changes in profiles.items():
        loaded = settings.load(context(profile, **changes))
        with monkeypatch.context() as patched:
            patched.setattr(settings, "load", lambda _, loaded=loaded: loaded)
            patched.setattr(Section, "__getattribute__", noting)
            no_assets = {"aws:cdk:bundling-stacks": []}
            app.build({**context(profile, **changes), **no_assets}, str(tmp_path / profile))
    unused = {f"{section}.{name}" for section, name in all_fields() - read - READ_WHILE_LOADING}
    assert unused == set(), "remove these settings, or use them"


def test_no_setting_that_names_a_model_or_a_machine_is_forgotten(assembly: Assembly) -> None:
    """Check against the templates, which say which models roles may call and which machines jobs start."""
    changes = {"everything": EVERYTHING, "enclosed": ENCLOSED}.get(assembly.profile, {})
    loaded = settings.load(context(assembly.profile, **changes))
    text = json.dumps(assembly.templates)
    called = set(re.findall(r"foundation-model/([a-z0-9][a-z0-9.:-]+)", text))
    models = {model_id for _, model_id in settings.named(loaded, settings.ModelId)}
    assert called
    assert called - {PROFILE.sub(r"\g<model>", model_id) for model_id in models} == set()
    started = set(re.findall(r"ml\.[a-z0-9]+\.[a-z0-9]+", text))
    assert started == {machine for _, machine in settings.named(loaded, settings.InstanceType)}


def test_settings_whose_names_or_values_are_models_have_the_type_of_models() -> None:
    loaded = settings.load(
        context(
            "dev",
            assistant={"playground_models": ["playground.model"]},
            analysis={"description_model_id": "description.model"},
        )
    )
    found = {name for name, _ in settings.named(loaded, settings.ModelId)}
    by_name = {
        f"{part}.{name}"
        for part, section in loaded
        if isinstance(section, Section)
        for name, value in section
        if name.endswith(("model_id", "models", "judges"))
        or re.match(r"(\w+\.)?(amazon|anthropic|meta|mistral|cohere|qwen|openai|deepseek)\.", str(value))
    }
    assert found == by_name
    assert len(found) == 6
