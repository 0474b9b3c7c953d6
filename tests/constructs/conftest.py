"""Templates of every profile, synthesized once for all folders that look at them."""

from tests.synthesized import assemblies, assembly, on_ecs

__all__ = ["assemblies", "assembly", "on_ecs"]
