"""Synthesis of the app: what it checks, and errors told as a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from constructs.agent_function import FunctionEnvironmentError
from constructs.cedar import CedarError
from constructs.delivery_pipeline import PlatformError
from constructs.guardrail_settings import GuardrailSettingsError
from constructs.hive import SchemaError

import settings
from settings import geographies
from stacks import availability

REFUSALS = (
    settings.SettingsError,
    availability.RegionError,
    CedarError,
    FunctionEnvironmentError,
    GuardrailSettingsError,
    PlatformError,
    SchemaError,
)
"""Errors whose message is a sentence for the person who wrote a setting, a policy or a schema."""


def check(app: App) -> None:
    """Make synth fail on findings of cdk-nag's AwsSolutions rules that nobody has acknowledged."""
    # Imported here: to load it takes as long as to build a stack.
    from cdk_nag import AwsSolutionsChecks

    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))


def synthesize(build: Callable[[Mapping[str, Any]], App], arguments: Sequence[str]) -> None:
    """Write the templates of the app, or exit with the sentence of a refusal."""
    try:
        context = settings.read_context(arguments)
        geographies.check(settings.load(context), availability.deploy_region())
        assembly = build(context).synth()
        availability.check(Path(assembly.directory), availability.deploy_region())
    except REFUSALS as error:
        sys.exit(str(error))
