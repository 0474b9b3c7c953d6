"""Deployment settings: one profile per environment, from the context key `fmops` of cdk.json.

A profile states only what differs from the defaults of its sections, which have a file each. An invalid value
is refused before any construct is created.
"""

from settings.delivery import GitHubRepository, Pipeline
from settings.environment import Settings
from settings.kinds import InstanceType, ModelId, Section, SettingsError
from settings.profiles import CDK_JSON, load, load_next, named, read_context

__all__ = [
    "CDK_JSON",
    "GitHubRepository",
    "InstanceType",
    "ModelId",
    "Pipeline",
    "Section",
    "Settings",
    "SettingsError",
    "load",
    "load_next",
    "named",
    "read_context",
]
