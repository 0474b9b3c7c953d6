"""A local AWS for the demo's tests."""

from tests.local.conftest import cloud

__all__ = ["cloud"]
