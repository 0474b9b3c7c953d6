"""Geographies of Bedrock's cross-region inference profiles: which regions may call a profile.

Source: "Supported Regions and models for inference profiles" in the Bedrock user guide. A profile whose prefix is not
listed here is not checked.
"""

from __future__ import annotations

import re

from settings.environment import Settings
from settings.kinds import ModelId, SettingsError
from settings.profiles import named

CALLED_FROM = {
    "us": r"(us|ca)-(?!gov-).*",
    "us-gov": r"us-gov-.*",
    "ca": r"ca-.*",
    "eu": r"eu-.*",
    "apac": r"ap-.*",
    "jp": r"ap-northeast-[13]",
    "au": r"ap-southeast-[24]",
}
"""Pattern of the regions that may call the profiles of a geography, by the prefix of their ids."""
_PREFIX = re.compile(r"(?P<geography>[a-z]{2,4}(?:-gov)?)\.[a-z0-9-]+\.")


def check(settings: Settings, region: str | None) -> None:
    """Raise ``SettingsError`` for models that a region may not call. ``region`` is where a deployment goes whose
    settings name none."""
    where = settings.region or region
    problems = [
        f"{name}: {problem}"
        for name, model in named(settings, ModelId)
        if where and (problem := mismatch(model, where))
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def mismatch(model_id: str, region: str) -> str:
    """Return why a region cannot call a model or profile, with the remedy; empty if nothing speaks against it."""
    found = _PREFIX.match(model_id)
    geography = found["geography"] if found else ""
    if geography not in CALLED_FROM or re.fullmatch(CALLED_FROM[geography], region):
        return ""
    own = next(
        (name for name in ("us-gov", "us", "eu", "apac") if re.fullmatch(CALLED_FROM[name], region)), "global"
    )
    rest = model_id.removeprefix(f"{geography}.")
    return (
        f"{region} cannot call {model_id}, which belongs to the geography `{geography}`: set it to {own}.{rest} or "
        f"global.{rest}, if Bedrock offers that there, or deploy to a region of `{geography}`."
    )
