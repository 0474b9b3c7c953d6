"""A local AWS to examine."""

from tests.local.conftest import cloud

__all__ = ["cloud"]
