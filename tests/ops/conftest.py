"""Templates of every profile, synthesized once for all folders that look at them, and a local AWS to
examine.
"""

from tests.local.conftest import cloud
from tests.synthesized import assemblies, assembly, on_ecs

__all__ = ["assemblies", "assembly", "cloud", "on_ecs"]
