"""Every answer of the assistant in these tests has its documented shape."""

from tests.documented import documented

__all__ = ["documented"]
