"""Delivery of every interaction to the data lake: batched, retried, and kept on disk while the delivery stream
is unavailable."""

from fmops.capture.record import encode
from fmops.capture.sink import FirehoseSink
from fmops.capture.spool import Spool

__all__ = ["FirehoseSink", "Spool", "encode"]
