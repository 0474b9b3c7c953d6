"""Garbage collection of a process that loads the models of many services: a million objects that live as long as it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def made_to_stay() -> Iterator[None]:
    """Collect no garbage during the block, and never look through what exists at its end.

    A full collection of a local AWS takes a second, in which it answers nobody, and its deployment would cause a dozen.
    Garbage with cycles that exists at the end of the block is never freed.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
