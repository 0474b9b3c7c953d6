"""Construction of an engine from settings: each detector's kind is a built-in one or a class of your own."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import boto3

from fmops.guardrails.detectors.base import Clients, Detector
from fmops.guardrails.engine import GuardrailEngine, Observer
from fmops.guardrails.settings import KINDS, DetectorSettings, GuardrailSettings


def build_engine(
    settings: GuardrailSettings, session: boto3.Session, observers: Iterable[Observer] = ()
) -> GuardrailEngine:
    """Return the engine that ``settings`` describe. Raises ``ValueError``, which names the detector and the
    remedy."""
    longest = max((each.timeout_ms for each in settings.detectors.values()), default=settings.deadline_ms)
    clients = Clients(
        session,
        timeout=min(longest, settings.deadline_ms) / 1000,
        connections=settings.concurrency,
        attempts=settings.attempts,
    )
    detectors = [make_detector(name, each, clients) for name, each in settings.detectors.items()]
    engine = GuardrailEngine(detectors, settings.policy(), observers, settings)
    engine.warm_up()
    return engine


def make_detector(name: str, settings: DetectorSettings, clients: Clients) -> Detector:
    """Return the detector of this kind. Raises ``ValueError``, which names the field."""
    path = KINDS.get(settings.kind, settings.kind)
    module, _, attribute = path.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"detectors.{name}.kind is {settings.kind!r}: it must be one of {', '.join(KINDS)},"
            " or package.module:Class of a detector that can be imported"
        ) from error
    if not (isinstance(made, type) and issubclass(made, Detector)):
        raise ValueError(f"detectors.{name}.kind is {settings.kind!r}: the class must derive from Detector")
    try:
        return made(name, clients, **settings.options)
    except TypeError as error:
        raise ValueError(f"detectors.{name}.options do not fit {made.__name__}: {error}") from error
